// Package room is the connection of users to rooms, both sides of it, as the
// vendor's room connection status page describes it: who may follow whom
// (Rate), the user's side (Engine, and a Client for each of its rooms) and the
// side of the rooms (Rooms).
//
// It promises: machines. An input and an instant go in; messages for the other
// side, reports, callbacks and the next wake come out; the same inputs bring
// the same outputs. A client that is left alone ends or rests: what it tries
// ends after W. A seat that is not heard of falls after H, to the instant. A
// user has seats at one endpoint only. Rate holds the one table of edges in
// the program.
//
// It refuses: clocks, goroutines, sockets, and to find out whether a line
// still carries: its owner says LinkDown and LinkUp. Chance comes from seeds.
// A Report has no time, sequence or session, since the vendor's callback has
// none; a reporter adds them.
//
// What a client says:
//
//	            ┌─────────────── LoginFailed ──┐
//	Logining ───┤                              ├──> Logout ──> Logining
//	            └──> Logined ──> LogoutFailed ─┘      ^
//	                   │  └────────────────────────── ┤
//	                   ├──> KickOut ───────────────── ┤
//	                   v                              │
//	             Reconnecting ──> ReconnectFailed ─── ┤
//	                   │ ^                            │
//	                   v │                            │
//	              Reconnected ──> KickOut, LogoutFailed, Logout
//
// What it does, beneath that:
//
//	            Login                  Seated
//	resting ───────────> asking ──────────────────> seated
//	   ^                   │  denied, or W is over   │  ^
//	   │<──────────────────┘              link lost, │  │ Seated
//	   │                                    AskAgain v  │
//	   │<────────────────────────────────────────── retrying
//	      kicked, Logout, W is over
//
// A line is lost at T3. What the others see is decided by H, counted from the
// last heartbeat, and what the user sees by W, counted from T3:
//
//	      T3                 H                       W
//	A  ───┼ Reconnecting ────┼───────────────────────┼ ReconnectFailed
//	      │  case 1: back,   │  case 2: back,        │  case 3
//	B     │  B sees nothing  ┼ DELETE  ... ADD       │  B sees nothing more
package room
