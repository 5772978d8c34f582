package room_test

import (
	"fmt"
	"time"

	"roomtrail/room"
)

// A driver hands the messages of one machine to the other and wakes them when
// they asked for it. Here the line breaks and never comes back.
func ExampleClient() {
	at := room.Endpoint{User: "ann", Device: "laptop", Instance: "1"}
	client := room.NewClient(at, "room-1", room.Profile{Family: "web"}, 42)
	rooms := room.NewRooms(room.Rules{})
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

	out := client.Step(now, room.Login{Token: "04AAAA"})
	show(out)
	answer := rooms.Step(now, room.Received{Message: out.Send[0]})
	show(client.Step(now, room.Received{Message: answer.Send[0]}))

	out = client.Step(now.Add(time.Minute), room.LinkDown{})
	show(out)
	fmt.Println("wakes", out.Wake.Sub(now))
	show(client.Step(out.Wake, room.Timeout{}))
	// Output:
	// Logining 0
	// Logined 0
	// Reconnecting 1000017
	// wakes 6m0s
	// ReconnectFailed 1002053
}

func show(out room.Output) {
	for _, r := range out.Report {
		fmt.Println(r.Reason, r.Code)
	}
}
