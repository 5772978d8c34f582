// Package pipeline wires the write side together: servers, log, read model,
// runners and door. The programs and the tests all start this one; which
// parts of it run is a setting.
//
// It promises: what is started is stopped in the opposite order, and a stop
// loses nothing that was accepted. It refuses to hold rules of its own.
//
//	      ┌──────────┐   append   ┌───────────┐   read    ┌──────────┐  apply  ┌───────────┐
//	HTTP ─┤  intake  ├───────────>│ JetStream ├──────────>│ runner/s ├────────>│ Postgres  │
//	      └──────────┘            └───────────┘           └──────────┘         └───────────┘
//	       role intake            embedded or NATS_URL     role project        embedded or DATABASE_URL
package pipeline
