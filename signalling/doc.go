// Package signalling carries room's machines over WebSocket: the room service,
// and a client on the same machine code as the simulator's. Beside the lines it
// speaks the vendor's two other languages: server callbacks out, and a part of
// the server API in (KickoutUser, CloseRoom, DescribeUserList, DescribeUserNum).
//
// It promises: each machine is stepped by one owner, a client's by its loop and
// an app's rooms under one lock, and nothing waits there: what goes out is put
// in a bounded queue, and who does not empty his loses his line. A client speaks
// as the endpoint that it connected as, whatever its messages say. A callback
// that was posted again has the same body. Close and Run leave no goroutine.
//
// It refuses: to keep rooms across a restart, for the clients ask again and are
// seated as after a heartbeat timeout; to spread an app over several processes;
// and to say who a user is: that is what tokens are for, and they are checked
// where a seat is asked for, not where a line is made.
//
// One app:
//
//	client ── line ──> read ─┐                    ┌─ queue ─> write ── line ──> client
//	client ── line ──> read ─┤   ┌────────────┐   ├─ queue ─> write ── line ──> client
//	                         ├──>│ room.Rooms │───┤
//	back end ── GET /?Action ┤   └────────────┘   └─ queue ─> post ──> callback URL
//	                         │         │                       └─ 2, 4, 8, 16, 32 s, lost
//	                         └─ wake ──┘
//
// A client's line:
//
//	        something to say            made
//	idle ─────────────────────> making ──────> up <──────────┐
//	 ^                            │ fails      │ breaks      │
//	 │                            │            │ or is cut   │ made:
//	 │                            v LinkDown   v LinkDown    │ LinkUp
//	 └──── no room wants one ─── down <────────┘             │
//	                              └─ dials, 0.2 s to 2 s ────┘
//	                                 apart, not while cut
package signalling
