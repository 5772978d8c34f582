// Package readmodel keeps facts and rows in Postgres.
//
// It promises: facts, rows, quarantine and position of a batch commit
// together or not at all, in Apply and nowhere else; a lost reply, a second
// runner and a killed process change nothing; what an older owner still tries
// to write is refused by the epoch in the position row. A session that the fold
// panics over stops nothing but itself. What leaves quarantine does so by a
// person's word, in Quarantine.
//
// It refuses: to know where events come from or what they mean. It loads
// facts, hands them to the fold, writes what the fold says.
//
//	batch ──> facts ──┐
//	                  ├── one transaction ──> commit
//	fold  ──> rows  ──┤
//	          position┘
package readmodel
