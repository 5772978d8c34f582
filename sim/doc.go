// Package sim is a world of rooms, people, networks and reporters in virtual
// time. It drives the machines of package room as a network would, and lets
// happen to them what happens out there: links that lag, drop, carry one way
// only and return, offices that fail together, second devices, kicks, crashed
// apps, wrong clocks, and reporters that deliver late, twice, out of order or
// never.
//
// It promises: the same Config gives the same world, to the byte. A World yields
// what an intake would receive, in order of arrival, and beside it the truth
// that nobody can see from outside: a line for each login and each interruption,
// delivered or not. Memory grows with who is there at a time, not with how many
// have been.
//
// It refuses: clocks, goroutines, files, and to know what an event means
// further on: that is what the truth is there to check.
//
//	 agenda ──due──> person, office, back end ──> room.Engine <──lines──> room.Rooms
//	(one heap, one                                    │                       │
//	 chance, one clock)                      reporter.Reporter            callbacks
//	                                                  │  lag, loss, copies    │
//	                                              Output: Deliveries,     Callbacks,  Truth
package sim
