package readmodel

import (
	"context"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// fold folds the sets and returns those that went well; their rows are in w.
// Sets do not know each other, and Postgres waits meanwhile, so that two
// processors are free.
func (m *ReadModel) fold(profiles projections.Profiles, sets []*set, w *writes) []*set {
	half := len(sets) / 2
	var others sync.WaitGroup
	others.Go(func() { m.foldAll(profiles, sets[half:]) })
	m.foldAll(profiles, sets[:half])
	others.Wait()
	well := sets[:0:0]
	for _, s := range sets {
		if !s.folds { // nothing of a client's
			well = append(well, s)
			continue
		}
		if s.broken == nil {
			for i := range s.repeated {
				s.rows.Counts.CountCopy(&s.repeated[i])
			}
			w.add(s)
			well = append(well, s)
		}
	}
	return well
}

func (m *ReadModel) foldAll(profiles projections.Profiles, sets []*set) {
	for _, s := range sets {
		if s.folds {
			m.foldOne(profiles, s)
		}
	}
}

// foldOne folds one set. A panic is a fault of the fold, and one session must
// not hold up a partition, nor end a process that would meet it again after its
// restart: the fresh messages of the session go into quarantine, and the next
// ones find it as it was before. What the fold has left half done in memory is
// forgotten.
func (m *ReadModel) foldOne(profiles projections.Profiles, s *set) {
	defer func() {
		if v := recover(); v != nil {
			s.broken = fmt.Errorf("the fold of its session panics: %v (%s)", v, panicSite())
			m.mu.Lock()
			delete(m.sessions, s.id)
			m.recent.drop(s.id)
			m.mu.Unlock()
		}
	}()
	s.isLate = s.arrivesLate()
	s.state, s.rows, s.gone = m.advance(profiles, s.saved, s.old, s.fresh)
}

// arrivesLate says whether the set is folded anew with what was between or
// before; Advance moves the saved state on, so it is asked before.
func (s *set) arrivesLate() bool {
	if s.saved != nil {
		return !s.saved.Appends(s.fresh)
	}
	last := int64(-1)
	for i := range s.old {
		last = max(last, s.old[i].Seq)
	}
	return slices.ContainsFunc(s.fresh, func(f events.Stored) bool { return f.Seq <= last })
}

// panicSite is where the panic that is being recovered from began.
func panicSite() string {
	var callers [32]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	thrown := false
	for {
		frame, more := frames.Next()
		if thrown && !strings.HasPrefix(frame.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", path.Base(frame.File), frame.Line)
		}
		thrown = thrown || frame.Function == "runtime.gopanic"
		if !more {
			return "somewhere"
		}
	}
}

// quarantine sets aside what could not be read and returns the rest.
func quarantine(ctx context.Context, tx pgx.Tx, facts []events.Stored) ([]events.Stored, error) {
	isGood := func(i int) bool { return facts[i].Err == nil }
	bad := 0
	for i := range facts {
		if f := &facts[i]; !isGood(i) {
			bad++
			if err := setAside(ctx, tx, f.Ref, f.Err, f.Version, f.Raw); err != nil {
				return nil, err
			}
		}
	}
	return keep(facts, len(facts)-bad, isGood), nil
}

// quarantineUnfolded sets aside the messages whose session could not be
// folded and returns the rest, with their owners.
func quarantineUnfolded(ctx context.Context, tx pgx.Tx, facts []events.Stored, owners []*set) ([]events.Stored, []*set, error) {
	isGood := func(i int) bool { return owners[i].broken == nil }
	bad := 0
	for i := range facts {
		if f := &facts[i]; !isGood(i) {
			bad++
			// What was decoded is spelled again as it stood in the log.
			if err := setAside(ctx, tx, f.Ref, owners[i].broken, events.SchemaVersion, events.Encode(&f.Event)); err != nil {
				return nil, nil, err
			}
		}
	}
	n := len(facts) - bad
	return keep(facts, n, isGood), keep(owners, n, isGood), nil
}

// keep is the n elements of the list that are good, the list itself where all
// of them are: facts are large.
func keep[T any](list []T, n int, isGood func(int) bool) []T {
	if n == len(list) {
		return list
	}
	good := make([]T, 0, n)
	for i := range list {
		if isGood(i) {
			good = append(good, list[i])
		}
	}
	return good
}

func setAside(ctx context.Context, tx pgx.Tx, ref events.Ref, reason error, version string, raw []byte) error {
	_, err := tx.Exec(ctx, `
INSERT INTO roomtrail.quarantine (generation, partition, stream_seq, reason, schema_version, bytes)
VALUES ($1, $2, $3, $4, $5, $6)`,
		ref.Generation, ref.Partition, int64(ref.Seq), storableText(reason.Error()), storableText(version), raw)
	if err != nil {
		return fmt.Errorf("quarantine %s: %w", ref, err)
	}
	return nil
}

// storableText is text that Postgres takes, whatever a message held.
func storableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
