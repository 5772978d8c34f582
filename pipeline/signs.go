package pipeline

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/projections"
)

// How often things beside the events are looked at.
const (
	signsEvery    = time.Second      // signs of life are written together
	monitorEvery  = 5 * time.Second  // dark sessions are looked for
	settingsEvery = 15 * time.Second // intakes learn of changed profiles
	mostSigns     = 200_000          // that wait to be written; more are dropped
)

// lastSigns gathers signs of life until they are written: the last one of each
// session.
type lastSigns struct {
	mu      sync.Mutex
	waiting map[[16]byte]events.Sign
	came    uint64
}

func (l *lastSigns) add(signs []events.Sign) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.came += uint64(len(signs))
	for _, s := range signs {
		if was, ok := l.waiting[s.Session]; (!ok && len(l.waiting) < mostSigns) || ok && s.At.After(was.At) {
			l.waiting[s.Session] = s
		}
	}
}

func (l *lastSigns) take() []events.Sign {
	l.mu.Lock()
	defer l.mu.Unlock()
	signs := make([]events.Sign, 0, len(l.waiting))
	for _, s := range l.waiting {
		signs = append(signs, s)
	}
	clear(l.waiting)
	return signs
}

// startSigns writes signs of life and looks for sessions that give none.
func (p *Pipeline) startSigns(ctx context.Context) error {
	p.signs = &lastSigns{waiting: map[[16]byte]events.Sign{}}
	stop, err := p.log.Signs(p.signs.add)
	if err != nil {
		return err
	}
	p.runners.Go(func() {
		defer stop()
		p.every(ctx, signsEvery, "write signs of life", func() error { return p.model.MergeSigns(ctx, p.signs.take()) })
	})
	p.runners.Go(func() { p.every(ctx, monitorEvery, "look for dark sessions", func() error { return p.Monitor(ctx) }) })
	settings, err := p.log.Settings(ctx)
	if err != nil {
		return err
	}
	p.runners.Go(func() {
		p.every(ctx, settingsEvery, "tell intakes the profiles", func() error { return p.tellProfiles(ctx, settings) })
	})
	return nil
}

// publishSigns hands the door's signs of life to whoever projects.
func (p *Pipeline) publishSigns(signs []events.Sign) error {
	p.published.Add(uint64(len(signs)))
	return p.log.PublishSigns(signs)
}

// every does something now and again and again until the context ends; an error
// is logged and the next turn tries anew.
func (p *Pipeline) every(ctx context.Context, d time.Duration, what string, do func() error) {
	told := p.teller("cannot " + what)
	for ctx.Err() == nil {
		told(ctx, do())
		_ = wait(ctx, d)
	}
}

// Monitor logs which sessions went dark and which came back, where this process
// holds the lease. What it has said is known by the log alone: a restart says
// it again at most, which counts once.
func (p *Pipeline) Monitor(ctx context.Context) error {
	isMine, err := p.model.Lease(ctx, "monitor")
	if err != nil || !isMine {
		return err
	}
	list, err := p.model.Changes(ctx, p.now())
	if err != nil || len(list) == 0 {
		return err
	}
	return p.log.Append(ctx, list)
}

func (p *Pipeline) now() time.Time {
	if p.config.Now != nil {
		return p.config.Now()
	}
	return time.Now()
}

const profilesSetting = "profiles"

// tellProfiles publishes the profiles, so that intakes know them without a
// database.
func (p *Pipeline) tellProfiles(ctx context.Context, settings *eventlog.Settings) error {
	profiles, err := p.model.Profiles(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(profiles)
	if err != nil {
		return err
	}
	known, err := settings.Get(ctx, profilesSetting)
	if err != nil || slices.Equal(known, text) {
		return err
	}
	return settings.Put(ctx, profilesSetting, text)
}

// pace is how often reporters are asked to speak, as the profiles say.
type pace struct {
	profiles atomic.Pointer[projections.Profiles]
}

// follow reads the profiles whenever they may have changed.
func (p *Pipeline) follow(ctx context.Context) (*pace, error) {
	settings, err := p.log.Settings(ctx)
	if err != nil {
		return nil, err
	}
	out := &pace{}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stopFollowing = stop
	p.following.Go(func() {
		p.every(running, settingsEvery, "read profiles", func() error {
			text, err := settings.Get(running, profilesSetting)
			if err != nil || text == nil {
				return err
			}
			var profiles projections.Profiles
			if err := json.Unmarshal(text, &profiles); err != nil {
				return err
			}
			out.profiles.Store(&profiles)
			return nil
		})
	})
	return out, nil
}

// aliveEvery answers the door; 0 where nothing is known yet.
func (p *pace) aliveEvery(app, platform string, at time.Time) int64 {
	profiles := p.profiles.Load()
	if profiles == nil {
		return 0
	}
	platform, family := events.NormalizePlatform(platform)
	return profiles.At(app, family, platform, at).AliveEveryMS
}
