package signalling

import (
	"strings"
	"testing"
	"time"

	"roomtrail/room"
)

func TestTokenIsGoodForItsUserRoomAndTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	end := now.Add(time.Hour)
	good := Token("secret", "u", "r", end)
	// echo -n 'u|r|1767618000' | openssl dgst -sha256 -hmac secret
	if want := "8c83df61cc630d3296ff9c78085a8fbbe463ba7d97584440061967530a1f4124.1767618000"; good != want {
		t.Errorf("token is %s, want %s", good, want)
	}
	for name, c := range map[string]struct {
		now               time.Time
		user, room, token string
		want              room.Cause
	}{
		"good":                {now, "u", "r", good, room.NoCause},
		"in its last instant": {end.Add(-1), "u", "r", good, room.NoCause},
		"at its end":          {end, "u", "r", good, room.TokenExpired},
		"another user":        {now, "v", "r", good, room.TokenWrong},
		"another room":        {now, "u", "s", good, room.TokenWrong},
		"another secret":      {now, "u", "r", Token("other", "u", "r", end), room.TokenWrong},
		"a longer life":       {now, "u", "r", strings.Replace(good, ".1", ".2", 1), room.TokenWrong},
		"none":                {now, "u", "r", "", room.TokenWrong},
		"no signature":        {now, "u", "r", ".1767618000", room.TokenWrong},
		"no end":              {now, "u", "r", good[:64] + ".", room.TokenWrong},
		"a shifted bar":       {now, "u|r", "s", Token("secret", "u", "r|s", end), room.TokenWrong},
		"a bar in the room":   {now, "u", "r|s", Token("secret", "u", "r|s", end), room.NoCause},
		"an end out of range": {now, "u", "r", Token("secret", "u", "r", time.Unix(1<<60, 0)), room.TokenWrong},
	} {
		expires, got := TokenCheck("secret")(c.now, c.user, c.room, c.token)
		if got != c.want {
			t.Errorf("%s: the token is %s, want %s", name, got, c.want)
		}
		if got == room.NoCause && !expires.Equal(end) {
			t.Errorf("%s: the token ends %s, want %s", name, expires, end)
		}
	}
}
