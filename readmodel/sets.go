package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomtrail/events"
	"roomtrail/projections"
)

// set is one session that a batch touches.
type set struct {
	identity
	key   events.SetKey
	isNew bool // no fact of it was stored before this batch
	count int
	fresh []events.Stored // the client's own facts: only those are folded
	folds bool            // the batch has some
	first time.Time       // the earliest of the batch was stored then

	saved    *projections.Session
	old      []events.Stored
	copies   []projections.Mark // of facts that repeat what is stored, taken out of fresh
	repeated []events.Stored    // those facts

	isLate bool // the batch brings what does not come after what was folded
	state  *projections.Session
	rows   projections.Rows
	gone   projections.Gone
	broken error // the fold panicked: nothing above counts
}

// name groups the facts by session and finds or makes the identity of each.
// owners are the sets of the facts, one by one; fresh is what to remember
// once the transaction has committed.
func (m *ReadModel) name(ctx context.Context, tx pgx.Tx, facts []events.Stored) (sets, owners []*set, made map[events.SetKey]identity, err error) {
	byKey := make(map[events.SetKey]*set, len(facts)/2)
	owners = make([]*set, len(facts))
	for i := range facts {
		key := facts[i].Key()
		s := byKey[key]
		if s == nil {
			s = &set{key: key}
			byKey[key] = s
			sets = append(sets, s)
		}
		owners[i] = s
		if f := &facts[i]; s.first.IsZero() || f.StoredAt.Before(s.first) {
			s.first = f.StoredAt
		}
		s.count++
	}
	groupFresh(facts, owners, sets)
	unknown := make(map[[16]byte]*set)
	m.mu.Lock()
	for key, s := range byKey {
		if id, ok := m.identities[key]; ok {
			s.identity = id
		} else {
			unknown[key.Hash()] = s
		}
	}
	m.mu.Unlock()
	if len(unknown) == 0 {
		return sets, owners, nil, nil
	}
	// Rows that a crash of the server loses may be remembered here: the position
	// is lost with them, and who finds another one forgets everything. A set is
	// named by its own partition alone.
	made, err = makeIdentities(ctx, tx, unknown)
	return sets, owners, made, err
}

// groupFresh gives each set the facts that are folded. One array for all: facts
// are large, and growing a slice for each set would copy them again and again.
func groupFresh(facts []events.Stored, owners, sets []*set) {
	grouped := make([]events.Stored, len(facts))
	for _, s := range sets {
		s.fresh, grouped = grouped[:0:s.count], grouped[s.count:]
	}
	for i := range facts {
		if facts[i].Source == events.FromClient {
			owners[i].fresh, owners[i].folds = append(owners[i].fresh, facts[i]), true
		}
	}
}

// An identity that exists already is left alone and found by the second half,
// one by one, so that the index serves it whatever the planner believes of a
// table that grows.
const insertIdentities = `
WITH given AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
        AS g(hash, bucket, app_id, room_id, user_id, session_id, stored_at)
), made AS (
    INSERT INTO roomtrail.identities (id, hash, app_id, room_id, user_id, session_id, first_stored_at)
    SELECT nextval('roomtrail.identity_numbers') * 1024 + bucket, hash, app_id, room_id, nullif(user_id, ''), nullif(session_id, ''), stored_at
    FROM given
    ON CONFLICT (hash) DO NOTHING
    RETURNING hash, id, first_stored_at
)
SELECT hash, id, first_stored_at, true FROM made
UNION ALL
SELECT g.hash, i.id, i.first_stored_at, false
FROM given g
CROSS JOIN LATERAL (SELECT id, first_stored_at FROM roomtrail.identities WHERE hash = g.hash OFFSET 0) i`

func makeIdentities(ctx context.Context, tx pgx.Tx, unknown map[[16]byte]*set) (map[events.SetKey]identity, error) {
	n := len(unknown)
	hashes, buckets := make([][16]byte, 0, n), make([]int32, 0, n)
	var text [4][]string
	stored := make([]time.Time, 0, n)
	for h, s := range unknown {
		hashes = append(hashes, h)
		buckets = append(buckets, int32(s.key.Bucket()))
		for i, v := range [4]string{s.key.AppID, s.key.RoomID, s.key.UserID, s.key.SessionID} {
			text[i] = append(text[i], v)
		}
		stored = append(stored, s.first)
	}
	rows, err := tx.Query(ctx, insertIdentities, hashes, buckets, text[0], text[1], text[2], text[3], stored)
	if err != nil {
		return nil, fmt.Errorf("name sets: %w", err)
	}
	made := make(map[events.SetKey]identity, n)
	var h [16]byte
	var id identity
	var isNew bool
	_, err = pgx.ForEachRow(rows, []any{&h, &id.id, &id.firstStored, &isNew}, func() error {
		s := unknown[h]
		s.identity, s.isNew = id, isNew
		made[s.key] = id
		return nil
	})
	if err == nil && len(made) != n {
		err = fmt.Errorf("%d of %d sets got an identity", len(made), n)
	}
	if err != nil {
		return nil, fmt.Errorf("name sets: %w", err)
	}
	return made, nil
}

// lower brings first_stored_at down where the log's clock was set back since
// a set was named, so that its facts are found again.
func (m *ReadModel) lower(ctx context.Context, tx pgx.Tx, sets []*set) error {
	for _, s := range sets {
		first := s.first
		if !first.Before(s.firstStored) {
			continue
		}
		_, err := tx.Exec(ctx, "UPDATE roomtrail.identities SET first_stored_at = least(first_stored_at, $2) WHERE id = $1", s.id, first)
		if err != nil {
			return fmt.Errorf("lower the first time of set %d: %w", s.id, err)
		}
		s.firstStored = first
		m.forget()
	}
	return nil
}

// forget empties the memory of identities, states and months. It is called
// whenever the database may hold other than is remembered: states are changed
// before the commit that they belong to.
func (m *ReadModel) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.identities)
	clear(m.sessions)
	m.recent.clear()
	clear(m.months)
	clear(m.combinations)
}

// remember keeps identities and states that are committed.
func (m *ReadModel) remember(named map[events.SetKey]identity, sets []*set) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sessions)+len(sets) > maxSessions {
		clear(m.sessions)
	}
	for _, s := range sets {
		if s.state != nil {
			m.sessions[s.id] = s.state
			m.recent.keep(s)
		}
	}
	if len(m.identities)+len(named) > maxIdentities {
		clear(m.identities)
	}
	for key, id := range named {
		m.identities[key] = id
	}
}

// load brings the states of the sets, remembered or kept, and the earlier
// facts of those that must be folded anew.
func (m *ReadModel) load(ctx context.Context, tx pgx.Tx, sets []*set) error {
	byID := make(map[int64]*set, len(sets))
	var ids []int64 // of states to be looked for
	m.mu.Lock()
	for _, s := range sets {
		if s.isNew || !s.folds {
			continue
		}
		byID[s.id] = s
		if s.saved = m.sessions[s.id]; s.saved == nil {
			ids = append(ids, s.id)
		}
	}
	m.mu.Unlock()
	if len(ids) > 0 {
		if err := loadStates(ctx, tx, byID, ids); err != nil {
			return err
		}
	}
	if err := m.setCopiesAside(ctx, tx, sets, byID); err != nil {
		return err
	}
	return m.loadOld(ctx, tx, sets, byID)
}

// loadStates brings the states that are kept beside the rows.
func loadStates(ctx context.Context, tx pgx.Tx, byID map[int64]*set, ids []int64) error {
	rows, err := tx.Query(ctx, `SELECT set_id, state FROM rm.states WHERE set_id = ANY($1)`, ids)
	if err != nil {
		return fmt.Errorf("load states: %w", err)
	}
	var id int64
	var state []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &state}, func() error {
		byID[id].saved = new(projections.Session)
		return json.Unmarshal(state, byID[id].saved)
	})
	if err != nil {
		return fmt.Errorf("load states: %w", err)
	}
	return nil
}

// loadOld brings the earlier facts of sets that must be folded anew, remembered
// or stored.
func (m *ReadModel) loadOld(ctx context.Context, tx pgx.Tx, sets []*set, byID map[int64]*set) error {
	var refold []int64
	first := time.Now().AddDate(200, 0, 0)
	for _, s := range sets {
		if s.isNew || !s.folds || !projections.NeedsFacts(s.saved, s.fresh) {
			continue
		}
		m.mu.Lock()
		s.old = m.recent.facts[s.id]
		m.mu.Unlock()
		if len(s.old) > 0 {
			continue
		}
		refold = append(refold, s.id)
		if s.firstStored.Before(first) {
			first = s.firstStored
		}
	}
	if len(refold) == 0 {
		return nil
	}
	return m.loadFacts(ctx, tx, byID, refold, first)
}

// place is a number in a set.
type place struct{ id, seq int64 }

// setCopiesAside takes facts out of long sessions that say again what is
// stored under their seq: retries are common, and folding thousands of facts
// anew for each would let one sender hold up a partition. A copy that differs
// stays, and so do all that come with it.
func (m *ReadModel) setCopiesAside(ctx context.Context, tx pgx.Tx, sets []*set, byID map[int64]*set) error {
	var late []*set
	asked, first := map[place]bool{}, map[place]events.Stored{}
	for _, s := range sets {
		if s.saved == nil || s.saved.Appends(s.fresh) {
			continue
		}
		late = append(late, s)
		for i := range s.fresh {
			if seq := s.fresh[i].Seq; seq <= s.saved.MaxSeq {
				asked[place{s.id, seq}] = true
			}
		}
		m.mu.Lock()
		isRecent := m.recent.firsts(s.id, asked, first)
		m.mu.Unlock()
		if isRecent {
			maps.DeleteFunc(asked, func(p place, _ bool) bool { return p.id == s.id })
		}
	}
	if err := m.loadFirsts(ctx, tx, byID, asked, first); err != nil {
		return err
	}
	for _, s := range late {
		s.setCopiesAside(first)
	}
	return nil
}

// loadFirsts brings the copies that count of what is asked for.
func (m *ReadModel) loadFirsts(ctx context.Context, tx pgx.Tx, byID map[int64]*set, asked map[place]bool, first map[place]events.Stored) error {
	if len(asked) == 0 {
		return nil
	}
	var setIDs []int64
	var seqs []int32
	for p := range asked {
		setIDs, seqs = append(setIDs, p.id), append(seqs, int32(p.seq))
	}
	rows, err := tx.Query(ctx, selectFirsts, setIDs, seqs)
	if err != nil {
		return fmt.Errorf("load first copies: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		id, f, err := scanFact(rows)
		if err != nil {
			return fmt.Errorf("load first copies: %w", err)
		}
		if !m.isPast(f.Ref) {
			continue // then none of the seq is
		}
		f.AppID, f.RoomID, f.UserID, f.SessionID = byID[id].key.AppID, byID[id].key.RoomID, byID[id].key.UserID, byID[id].key.SessionID
		first[place{id, f.Seq}] = f
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("load first copies: %w", err)
	}
	return nil
}

// setCopiesAside takes out of the fresh facts those that repeat the first.
func (s *set) setCopiesAside(first map[place]events.Stored) {
	var ahead, repeated []events.Stored
	var copies []projections.Mark
	for i := range s.fresh {
		f := &s.fresh[i]
		was, ok := first[place{s.id, f.Seq}]
		if f.Seq <= s.saved.MaxSeq && ok && f.Same(&was.Event) {
			copies = append(copies, projections.Mark{Ref: f.Ref, IsCopy: true, Previous: events.NoReason})
			repeated = append(repeated, *f)
		} else {
			ahead = append(ahead, *f)
		}
	}
	if s.saved.Appends(ahead) { // else one of them needs the whole set
		s.fresh, s.copies, s.repeated = ahead, copies, repeated
	}
}

func isDuplicate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P07" || pg.Code == "23505" || pg.Code == "42710")
}
