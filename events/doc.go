// Package events says what can happen in a room and how it is spelled.
//
// It promises: a report becomes an [Event] or is refused with the field and
// the reason; an Event that was written to the log reads back equal; the same
// input always gives the same answer. Every spelling that the vendor's SDKs
// use comes out one way.
//
// It refuses: clocks, randomness, I/O. The instant of receipt is an argument,
// the salt is a field that the caller fills.
//
//	report (JSON)   --FromReport-->   Event  --Encode-->  message in the log
//	archived line   --FromArchive-->  Event  <--Decode--  message in the log
package events
