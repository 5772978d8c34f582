package events

import (
	"encoding/binary"
	"fmt"
	"time"
)

// Sign is a sign of life of a session: unnumbered, and no event of the log. The
// last one of each session counts (contract 2, POST /v1/alive).
type Sign struct {
	Key     SetKey    // as the sender named it; not kept on its way to the projector
	Session [16]byte  // the hash of the session's key
	At      time.Time // when it came, on our clock
	LastSeq int64     // the highest number that the reporter has given out
	EveryMS int64     // how often it means to speak; 0 where it does not say
}

// maxEveryMS bounds what a reporter may say of its own pace.
const maxEveryMS = 60 * 60 * 1000

// FromAlive reads one member of the list alive, received at now; the error is
// a *Refused.
func FromAlive(now time.Time, object []byte) (Sign, error) {
	var key SetKey
	s := Sign{At: now.UTC().Truncate(time.Microsecond)}
	seen := map[string]bool{}
	r := members(object, func(name string, raw []byte) (r *Refused) {
		if seen[name] {
			return refuse(fieldOf(name), "it is given twice")
		}
		seen[name] = true
		switch name {
		case "app_id":
			key.AppID, r = identifier(name, raw, maxIDBytes)
		case "room_id":
			key.RoomID, r = identifier(name, raw, maxIDBytes)
		case "user_id":
			key.UserID, r = identifier(name, raw, maxIDBytes)
		case "session_id":
			key.SessionID, r = identifier(name, raw, maxSessionIDBytes)
		case "last_seq":
			s.LastSeq, r = within(name, raw, 0, MaxSeq)
		case "every_ms":
			s.EveryMS, r = within(name, raw, 1, maxEveryMS)
		}
		return r
	})
	if r != nil {
		return s, r
	}
	for _, id := range [][2]string{{"app_id", key.AppID}, {"room_id", key.RoomID}, {"user_id", key.UserID}, {"session_id", key.SessionID}} {
		if id[1] == "" {
			return s, refuse(id[0], "it is missing; a sign of life names app_id, room_id, user_id and session_id")
		}
	}
	s.Key, s.Session = key, key.Hash()
	return s, nil
}

func within(name string, raw []byte, least, most int64) (int64, *Refused) {
	n, ok := integer(raw)
	if !ok || n < least || n > most {
		return 0, refuse(name, "%s is none; want a whole number from %d to %d", show(raw), least, most)
	}
	return n, nil
}

// signBytes is the size of a sign on its way to the projector.
const signBytes = 16 + 3*8

// AppendSigns appends signs in the form in which they travel.
func AppendSigns(b []byte, signs []Sign) []byte {
	for _, s := range signs {
		b = append(b, s.Session[:]...)
		b = binary.BigEndian.AppendUint64(b, uint64(s.At.UnixMicro()))
		b = binary.BigEndian.AppendUint64(b, uint64(s.LastSeq))
		b = binary.BigEndian.AppendUint64(b, uint64(s.EveryMS))
	}
	return b
}

// ReadSigns reads what AppendSigns wrote; the key is not in it.
func ReadSigns(b []byte) ([]Sign, error) {
	if len(b)%signBytes != 0 {
		return nil, fmt.Errorf("read signs of life: %d bytes are no multiple of %d", len(b), signBytes)
	}
	signs := make([]Sign, 0, len(b)/signBytes)
	for ; len(b) > 0; b = b[signBytes:] {
		signs = append(signs, Sign{
			Session: [16]byte(b[:16]), At: time.UnixMicro(int64(binary.BigEndian.Uint64(b[16:]))).UTC(),
			LastSeq: int64(binary.BigEndian.Uint64(b[24:])), EveryMS: int64(binary.BigEndian.Uint64(b[32:])),
		})
	}
	return signs, nil
}
