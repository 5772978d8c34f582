package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	fresh []events.Stored

	saved *projections.Session
	old   []events.Stored

	state *projections.Session
	rows  projections.Rows
	gone  projections.Gone
}

// name groups the facts by session and finds or makes the identity of each.
// owners are the sets of the facts, one by one; fresh is what to remember
// once the transaction has committed.
func (m *ReadModel) name(ctx context.Context, tx pgx.Tx, facts []events.Stored) (sets, owners []*set, made map[[16]byte]identity, err error) {
	byHash := make(map[[16]byte]*set)
	byKey := make(map[events.SetKey]*set)
	for i := range facts {
		key := facts[i].Key()
		s := byKey[key]
		if s == nil {
			s = &set{key: key}
			byKey[key] = s
			byHash[key.Hash()] = s
			sets = append(sets, s)
		}
		s.fresh = append(s.fresh, facts[i])
		owners = append(owners, s)
	}
	unknown := make(map[[16]byte]*set)
	m.mu.Lock()
	for h, s := range byHash {
		if id, ok := m.identities[h]; ok {
			s.identity = id
		} else {
			unknown[h] = s
		}
	}
	m.mu.Unlock()
	if len(unknown) == 0 {
		return sets, owners, nil, nil
	}
	made, err = makeIdentities(ctx, tx, unknown)
	return sets, owners, made, err
}

// An identity that exists already is left alone and found by the second half.
const insertIdentities = `
WITH given AS (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
        AS g(hash, bucket, app_id, room_id, user_id, session_id, stored_at)
), made AS (
    INSERT INTO roomtrail.identities (id, hash, app_id, room_id, user_id, session_id, first_stored_at)
    SELECT nextval('roomtrail.identity_numbers') * 1024 + bucket, hash, app_id, room_id, nullif(user_id, ''), nullif(session_id, ''), stored_at
    FROM given
    WHERE NOT EXISTS (SELECT FROM roomtrail.identities i WHERE i.hash = given.hash)
    ON CONFLICT (hash) DO NOTHING
    RETURNING hash, id, first_stored_at
)
SELECT hash, id, first_stored_at, true FROM made
UNION ALL
SELECT hash, id, first_stored_at, false FROM roomtrail.identities WHERE hash = ANY($1)`

func makeIdentities(ctx context.Context, tx pgx.Tx, unknown map[[16]byte]*set) (map[[16]byte]identity, error) {
	n := len(unknown)
	hashes, buckets := make([][16]byte, 0, n), make([]int32, 0, n)
	var text [4][]string
	stored := make([]time.Time, 0, n)
	for h, s := range unknown {
		hashes = append(hashes, h)
		buckets = append(buckets, int32(s.fresh[0].Bucket()))
		for i, v := range [4]string{s.key.AppID, s.key.RoomID, s.key.UserID, s.key.SessionID} {
			text[i] = append(text[i], v)
		}
		stored = append(stored, s.fresh[0].StoredAt)
	}
	rows, err := tx.Query(ctx, insertIdentities, hashes, buckets, text[0], text[1], text[2], text[3], stored)
	if err != nil {
		return nil, fmt.Errorf("name sets: %w", err)
	}
	made := make(map[[16]byte]identity, n)
	var h [16]byte
	var id identity
	var isNew bool
	_, err = pgx.ForEachRow(rows, []any{&h, &id.id, &id.firstStored, &isNew}, func() error {
		s := unknown[h]
		s.identity, s.isNew = id, isNew
		made[h] = id
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

// remember keeps identities that are committed.
func (m *ReadModel) remember(named map[[16]byte]identity) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.identities)+len(named) > maxIdentities {
		clear(m.identities)
	}
	for h, id := range named {
		m.identities[h] = id
	}
}

// load brings the kept states of the sets, and the earlier facts of those
// that must be folded anew.
func load(ctx context.Context, tx pgx.Tx, sets []*set) error {
	byID := make(map[int64]*set, len(sets))
	var ids []int64
	for _, s := range sets {
		if !s.isNew {
			byID[s.id] = s
			ids = append(ids, s.id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT set_id, state FROM `+projections.Schema()+`.states WHERE set_id = ANY($1)`, ids)
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
	var refold []int64
	first := time.Now().AddDate(200, 0, 0)
	for _, s := range sets {
		if s.isNew || !projections.NeedsFacts(s.saved, s.fresh) {
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
	// Whole months, with a day to spare: the log's clock may have been set back.
	first = first.UTC().AddDate(0, 0, -1)
	return loadFacts(ctx, tx, byID, refold, time.Date(first.Year(), first.Month(), 1, 0, 0, 0, 0, time.UTC))
}

func isDuplicate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P07" || pg.Code == "23505" || pg.Code == "42710")
}
