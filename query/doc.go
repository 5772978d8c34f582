// Package query holds the questions that people and programs ask of the read
// model, as a table: a question is its name, its definition, its parameters
// and its SQL. The command line, the HTTP API and the help are made from that
// table, so a new question is one entry in questions.go.
//
// It promises: every question reads the public views alone (contract 5); a
// parameter that a question does not take is refused, never ignored; machine
// formats carry the raw values, only what people read is rounded.
//
// It refuses: to know Postgres (rows come through Source), to hold a rule about
// sessions (those are the projections'), to read a clock (now is an argument).
package query
