package credentials

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"roomtrail/events"
)

// Set is all keys at an instant. It is never changed, so many may ask it.
type Set struct {
	write   map[[sha256.Size]byte]*Key
	signing map[string]*Key // by id
	origins map[string]bool
	made    bool
	active  int
}

// NewSet takes the keys of all apps. One that is broken lets nobody in, but
// counts as made: a door does not open because a key was spoilt.
func NewSet(keys []Key) *Set {
	s := &Set{write: map[[sha256.Size]byte]*Key{}, signing: map[string]*Key{}, origins: map[string]bool{}, made: len(keys) > 0}
	for i := range keys {
		k := keys[i]
		if k.Active() && k.Check() != nil {
			continue
		}
		switch {
		case k.Kind == Write && len(k.Verifier) == sha256.Size:
			s.write[[sha256.Size]byte(k.Verifier)] = &k
		case k.Kind == Token, k.Kind == Server:
			s.signing[k.ID] = &k
		}
		if k.Active() {
			s.active++
			for _, o := range k.Origins {
				s.origins[o] = true
			}
		}
	}
	return s
}

// Made says whether a key was ever made, revoked ones included: from then on
// nobody is let in without one (contract 2, keys).
func (s *Set) Made() bool { return s.made }

// Active is how many keys may be used.
func (s *Set) Active() int { return s.active }

// HasOrigin says whether some active key names the origin of a page.
func (s *Set) HasOrigin(origin string) bool { return s.origins[origin] }

// Presented is what a request says of its sender.
type Presented struct {
	Bearer    string // a write key or a token; from the header, or from ?key=
	Signature string // the header Roomtrail-Signature
	Origin    string // of the page, as its browser says
	Method    string
	Path      string
}

// Sender is who sends, and for whom it may. The zero value may for everybody.
type Sender struct {
	KeyID               string // "" where no key was asked for
	App                 string // "" for any
	Trust               events.Trust
	user, room, session string // a token's, "" for any
	signed              *signed
}

// Check finds out who sends. The error says what would be right; it never
// repeats a secret. A sender whose request is signed is proven only by
// [Sender.Confirm].
func (s *Set) Check(now time.Time, p Presented) (Sender, error) {
	switch {
	case p.Bearer != "" && p.Signature != "":
		return Sender{}, errors.New("both Authorization and Roomtrail-Signature are given; send one of them")
	case p.Signature != "":
		return s.checkSigned(now, p)
	case p.Bearer == "" && !s.made:
		return Sender{Trust: events.TrustPublic}, nil
	case p.Bearer == "":
		return Sender{}, errors.New("the write key is missing; send Authorization: Bearer KEY, or ?key=KEY")
	}
	if k := s.write[sha256.Sum256([]byte(p.Bearer))]; k != nil {
		return checkWrite(k, p.Origin)
	}
	if !s.made {
		return Sender{Trust: events.TrustPublic}, nil
	}
	if strings.Count(p.Bearer, ".") == 2 {
		return s.checkToken(now, p.Bearer)
	}
	return Sender{}, errors.New("the write key is not known; `ingest keys list` shows those that are")
}

func checkWrite(k *Key, origin string) (Sender, error) {
	if err := notRevoked(k); err != nil {
		return Sender{}, err
	}
	if len(k.Origins) > 0 && !slices.Contains(k.Origins, origin) {
		return Sender{}, fmt.Errorf("origin %q may not use write key %s; it is for %s", shown(origin), k.ID, strings.Join(k.Origins, ", "))
	}
	return Sender{KeyID: k.ID, App: k.App, Trust: events.TrustPublic}, nil
}

// find is the active key that signs under an id.
func (s *Set) find(id string, kind Kind) (*Key, error) {
	k := s.signing[id]
	if k == nil || k.Kind != kind {
		return nil, fmt.Errorf("key %q is no %s key; `ingest keys list` shows those that are", shown(id), kind)
	}
	return k, notRevoked(k)
}

func notRevoked(k *Key) error {
	if k.Active() {
		return nil
	}
	return fmt.Errorf("key %s was revoked at %s; use another", k.ID, k.RevokedAt.Format(time.RFC3339))
}

// shown cuts what a sender wrote to what an answer may repeat.
func shown(s string) string {
	const most = 80
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// Refuses says why an event of a session does not fit its sender, nil where it
// does.
func (s *Sender) Refuses(k events.SetKey) *events.Refused {
	for _, r := range [...]struct{ field, got, want string }{
		{"app_id", k.AppID, s.App}, {"user_id", k.UserID, s.user}, {"room_id", k.RoomID, s.room}, {"session_id", k.SessionID, s.session},
	} {
		if r.want != "" && r.got != r.want {
			return &events.Refused{Field: r.field, Reason: fmt.Sprintf("it is %q; the key or token is for %q", shown(r.got), shown(r.want))}
		}
	}
	return nil
}
