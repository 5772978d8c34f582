package room_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"roomtrail/room"
)

// A script tells a story in lines and holds its whole transcript:
//
//	# what it shows
//	client A web               a person; also native, observed, multi, user=A, window=60s
//	rooms multi full=2         the app's rules; also kick-on-expiry, max-rooms=2, told=500
//	at 0s A login room-1       also switch, logout, renew, link down|up|dead, destroy, restart
//	at 9s kick A room-1 Bye    the back end; also close, break, dropped
//	until 400s
//	----
//
// A link that is dead carries nothing and the client does not know. The last
// word of login, switch and renew may be a token: token=wrong, token=ends_40s.
const divider = "----\n"

func TestScripts(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# ") {
			continue // a table
		}
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			script, want, _ := strings.Cut(string(text), divider)
			got := play(t, script)
			if *update {
				if err := os.WriteFile(name, []byte(script+divider+got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != want {
				t.Errorf("the transcript differs from %s; run go test ./room -update and read the diff:\n%s", name, got)
			}
		})
	}
}

// play runs a script and returns its transcript.
func play(t testing.TB, script string) string { return watch(t, script).world.lines.String() }

// stage is where a script is played, and what was seen there.
type stage struct {
	rules  room.Rules
	world  *world
	people map[string]*person

	reports   []seen[room.Report]
	notices   []seen[room.Notice]
	callbacks []room.Callback
	refused   []int64
}

// seen is something that a person was told, and when.
type seen[T any] struct {
	at   time.Duration
	who  string
	what T
}

func watch(t testing.TB, script string) *stage {
	s := &stage{people: map[string]*person{}, rules: room.Rules{Check: testTokens}}
	for n, line := range strings.Split(script, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if err := s.line(words); err != nil {
			t.Fatalf("line %d: %q: %v", n+1, line, err)
		}
	}
	return s
}

func (s *stage) see(who *person, _ room.Input, out room.Output) {
	at := s.world.now.Sub(start)
	for _, r := range out.Report {
		s.reports = append(s.reports, seen[room.Report]{at, who.name, r})
	}
	for _, n := range out.Notice {
		s.notices = append(s.notices, seen[room.Notice]{at, who.name, n})
	}
	if out.Refused != 0 {
		s.refused = append(s.refused, out.Refused)
	}
	s.callbacks = append(s.callbacks, out.Callbacks...)
}

func (s *stage) line(words []string) error {
	if words[0] == "rooms" {
		return s.setRules(words[1:])
	}
	if s.world == nil {
		s.world = newWorld(s.rules)
		s.world.observe = s.see
	}
	switch words[0] {
	case "client":
		return s.client(words[1], words[2:])
	case "until":
		at, err := time.ParseDuration(words[1])
		s.world.run(start.Add(at))
		return err
	case "at":
		at, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		do, err := s.action(words[2:])
		if err != nil {
			return err
		}
		s.world.at(start.Add(at), func() { do() })
		return nil
	}
	return fmt.Errorf("a line begins with rooms, client, at or until")
}

func (s *stage) setRules(words []string) error {
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(value)
		switch name {
		case "multi":
			s.rules.MultiRoom = true
		case "kick-on-expiry":
			s.rules.KickOnExpiry = true
		case "full":
			s.rules.MaxMembers = n
		case "told":
			s.rules.UpdateLimit = n
		case "max-rooms":
			s.rules.MaxRooms = n
		default:
			return fmt.Errorf("no rule %q", word)
		}
	}
	return nil
}

func (s *stage) client(name string, words []string) error {
	var p room.Profile
	user := name
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "native":
			p.Family = "native"
		case "web":
			p.Family = "web"
		case "observed":
			p = room.ObservedWeb()
		case "multi":
			p.MultiRoom = true
		case "user":
			user = value
		case "window":
			d, err := time.ParseDuration(value)
			if err != nil {
				return err
			}
			p.RetryWindow = d
		default:
			return fmt.Errorf("no word %q for a client", word)
		}
	}
	s.people[name] = s.world.add(name, user, p)
	return nil
}

// action reads what a person or the back end does.
func (s *stage) action(words []string) (func(), error) {
	w := s.world
	if who := s.people[words[0]]; who != nil {
		do, err := s.doing(who, words[1:])
		return func() {
			w.note(who, "%s", strings.Join(words[1:], " "))
			do()
		}, err
	}
	var in room.Input
	arg := func(i int) string { return append(words, "", "", "")[i] }
	switch words[0] {
	case "kick":
		in = room.Kick{Users: []string{arg(1)}, Room: arg(2), Text: arg(3)}
	case "close":
		in = room.CloseRoom{Room: arg(1), Text: arg(2), Callback: arg(3) == "callback"}
	case "break":
		in = room.BreakSession{User: arg(1), Room: arg(2)}
	case "dropped":
		in = room.Dropped{At: s.people[arg(1)].at}
	default:
		return nil, fmt.Errorf("nobody is called %q", words[0])
	}
	return func() {
		w.note(nil, "%s", strings.Join(words, " "))
		w.stepRooms(in)
	}, nil
}

func (s *stage) doing(who *person, words []string) (func(), error) {
	w := s.world
	token, maxMembers, user := "good", 0, ""
	args := []string{"", "", ""}
	n := 0
	for _, word := range words[1:] {
		key, value, ok := strings.Cut(word, "=")
		switch {
		case !ok:
			args[n] = word
			n++
		case key == "token":
			token = strings.ReplaceAll(value, "_", " ")
		case key == "max":
			maxMembers, _ = strconv.Atoi(value)
		case key == "user":
			user = value
		default:
			return nil, fmt.Errorf("no word %q", word)
		}
	}
	var in room.Input
	switch words[0] {
	case "login":
		in = room.Login{Room: args[0], User: user, Token: token, UserUpdate: true, MaxMembers: maxMembers}
	case "logout":
		in = room.Logout{Room: args[0]}
	case "switch":
		in = room.Switch{From: args[0], To: args[1], Token: token, UserUpdate: true}
	case "renew":
		in = room.RenewToken{Room: args[0], Token: token}
	case "destroy":
		in = room.Destroy{}
	case "restart":
		return func() { w.boot(who) }, nil
	case "link":
		switch args[0] {
		case "down":
			return func() { w.cut(who, true) }, nil
		case "dead":
			return func() { w.cut(who, false) }, nil
		case "up":
			return func() { w.mend(who) }, nil
		}
	}
	if in == nil {
		return nil, fmt.Errorf("nobody can %q", strings.Join(words, " "))
	}
	return func() { w.step(who, in) }, nil
}
