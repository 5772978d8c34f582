package main

import "fmt"

const appID = "1234567890"

// markLen is how long the number is that makes the session ids of each
// request its own.
const markLen = 8

// appendReport appends what a web client reports of a state, about 350 bytes,
// and says where the number of its session stands. Each n is another user.
func appendReport(b []byte, n int) (_ []byte, mark int) {
	b = fmt.Appendf(b, `{"app_id":"%s","room_id":"room-%04d","user_id":"user-%06d","session_id":"%06x-`, appID, n%500, n, n)
	mark = len(b)
	b = append(b, "00000000"...)
	reason, code := "LOGINED", 0
	if n%10 == 9 {
		reason, code = "RECONNECTING", 1002051
	}
	b = fmt.Appendf(b, `","seq":%d,"reason":"%s","error_code":%d,"extended_data":"","occurred_at":"2026-03-01T10:%02d:%02d.%03dZ"`,
		n%8, reason, code, n/60%60, n%60, n%1000)
	b = fmt.Appendf(b, `,"monotonic_ms":%d.5,"boot_id":"b%07x","platform":"web","sdk_version":"3.12.0","app_version":"2.4.1"`, 1000+n, n)
	return append(b, `,"os":"Windows 10","network":"wifi","region":"eu-west"}`...), mark
}
