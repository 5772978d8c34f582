package signalling

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"roomtrail/room"
)

// Token lets a user into a room until an instant, by whole seconds. It is
//
//	hex(HMAC-SHA256(secret, user + "|" + room + "|" + expires)) + "." + expires
//
// with the expiry in Unix seconds, so that any back end can make one in a line.
func Token(secret, user, room string, expires time.Time) string {
	end := strconv.FormatInt(expires.Unix(), 10)
	return hex.EncodeToString(tokenSum(secret, user, room, end)) + "." + end
}

func tokenSum(secret, user, room, end string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(user + "|" + room + "|" + end))
	return h.Sum(nil)
}

// lastExpiry is the last second of the year 9999.
const lastExpiry = 253402300799

// TokenCheck reads tokens made with a secret, for room.Rules.Check.
func TokenCheck(secret string) func(now time.Time, user, name, token string) (time.Time, room.Cause) {
	return func(now time.Time, user, name, token string) (time.Time, room.Cause) {
		sum, end, _ := strings.Cut(token, ".")
		mac, err := hex.DecodeString(sum)
		seconds, endErr := strconv.ParseInt(end, 10, 64)
		switch {
		case err != nil || endErr != nil || seconds < 0 || seconds > lastExpiry:
			return time.Time{}, room.TokenWrong
		case strings.Contains(user, "|"): // "a|b" in room "c" would sign as "a" in room "b|c"
			return time.Time{}, room.TokenWrong
		case !hmac.Equal(mac, tokenSum(secret, user, name, end)):
			return time.Time{}, room.TokenWrong
		}
		expires := time.Unix(seconds, 0).UTC()
		if !now.Before(expires) {
			return time.Time{}, room.TokenExpired
		}
		return expires, room.NoCause
	}
}
