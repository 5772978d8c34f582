package events_test

import (
	"fmt"
	"time"

	"roomtrail/events"
)

// A report becomes an event, or is refused with the field and the reason.
func ExampleFromReport() {
	received := time.Date(2026, 3, 1, 10, 0, 1, 0, time.UTC)
	for _, line := range []string{
		`{"app_id":4000000001,"room_id":"r1","user_id":"u1","session_id":"s1","seq":"2","reason":"KICKOUT","error_code":1002050,"occurred_at":1772359200000,"platform":"Flutter-Web"}`,
		`{"app_id":4000000001,"room_id":null,"user_id":"u1","session_id":"s1","seq":3,"reason":7,"error_code":0,"occurred_at":1772359200000,"platform":"web"}`,
	} {
		e, err := events.FromReport(received, []byte(line))
		if err != nil {
			fmt.Println("refused:", err)
			continue
		}
		code, _ := events.LookupCode(e.Family, e.ErrorCode)
		fmt.Println(e.AppID, e.Seq, e.Reason, e.Platform, e.Family, code.Category)
	}
	// Output:
	// 4000000001 2 KickOut flutter_web web kick
	// refused: room_id: it is missing; want the room's id as given to loginRoom
}
