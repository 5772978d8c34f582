// Package intake is the HTTP door: what clients report comes in here.
//
// It promises: 200 only when every acceptable event has been acknowledged by
// the log; a verdict with field and reason for each that is not acceptable,
// which never harms its neighbours; a limit on everything that a sender
// controls, and on how much comes from a session, an address, a key and in all;
// a fixed share of the memory for all bodies together.
//
// What comes with the import key is an archive, which is believed when it was
// received and how far its sender's clock was off; a report is not.
//
// It refuses: to decide what an event means, and to answer before the log has.
//
//	POST /v1/events ─ limits ─ key ─── body ─── split ─ events.FromReport ─ limits ─ Append ─ 200
//	                   429     401  408 413 415  400      verdict, 403       429      503
package intake
