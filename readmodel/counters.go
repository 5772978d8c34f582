package readmodel

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/projections"
)

var (
	countersTable   = table{name: "counters", key: 4, columns: append(columns(`grain at combination partition`), projections.MeasureColumns[:]...), adds: true}
	histogramsTable = table{name: "histograms", key: 6, columns: columns(`grain at combination what bucket partition n`), adds: true}
)

// grains are the stretches of time that counters are kept for, by their number.
var grains = [...]func(time.Time) time.Time{
	1: func(t time.Time) time.Time { return t.UTC().Truncate(time.Minute) },
	2: func(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) },
	3: func(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) },
}

// combination is what a figure can be broken down by, and its name.
type combination struct {
	name [16]byte
	cell projections.Cell // its time says nothing here
}

func combinationOf(c projections.Cell) combination {
	var b strings.Builder
	for _, s := range [...]string{c.AppID, c.Platform, string(c.Family), c.SDKVersion, c.Network, c.Carrier, c.Region} {
		fmt.Fprintf(&b, "%d:%s", len(s), s)
	}
	fmt.Fprint(&b, c.IsImport)
	sum := sha256.Sum256([]byte(b.String()))
	return combination{name: [16]byte(sum[:16]), cell: c}
}

// slot is one row of the counters, but for the partition.
type slot struct {
	grain int
	at    time.Time
	name  [16]byte
}

// count adds differences to the counters of one partition. It returns the
// combinations that were not known, to be remembered after the commit.
func (m *ReadModel) count(ctx context.Context, tx pgx.Tx, counts projections.Counts, partition int) ([]combination, error) {
	names := map[projections.Cell][16]byte{}
	var unknown []combination
	slots := map[slot]*projections.Tally{}
	for cell, tally := range counts {
		what := cell
		what.At = time.Time{}
		name, ok := names[what]
		if !ok {
			c := combinationOf(what)
			name = c.name
			names[what] = name
			m.mu.Lock()
			known := m.combinations[name]
			m.mu.Unlock()
			if !known {
				unknown = append(unknown, c)
			}
		}
		for grain := 1; grain < len(grains); grain++ {
			k := slot{grain, grains[grain](cell.At), name}
			if slots[k] == nil {
				slots[k] = &projections.Tally{}
			}
			slots[k].Add(tally, 1)
		}
	}
	slices.SortFunc(unknown, func(a, b combination) int { return bytes.Compare(a.name[:], b.name[:]) }) // all take locks in one order
	if err := nameCombinations(ctx, tx, unknown); err != nil {
		return nil, err
	}
	return unknown, writeCounts(ctx, tx, slots, partition)
}

func writeCounts(ctx context.Context, tx pgx.Tx, slots map[slot]*projections.Tally, partition int) error {
	var counters, histograms rows
	// In the order of their keys, which Postgres finds faster than any other.
	for _, k := range slices.SortedFunc(maps.Keys(slots), slot.compare) {
		tally := slots[k]
		if tally.N != (projections.Tally{}).N {
			row := counters.begin(countersTable)
			k.write(row)
			row.int4(int64(partition))
			for _, n := range tally.N {
				row.int8(n)
			}
		}
		for _, b := range slices.SortedFunc(maps.Keys(tally.Spans), compareBuckets) {
			if n := tally.Spans[b]; n != 0 {
				row := histograms.begin(histogramsTable)
				k.write(row)
				row.int2(int16(b.What))
				row.int2(b.No)
				row.int4(int64(partition))
				row.int8(n)
			}
		}
	}
	if counters.n > 0 {
		if err := countersTable.mergeRows(ctx, tx, &counters); err != nil {
			return fmt.Errorf("add to counters: %w", err)
		}
	}
	if histograms.n > 0 {
		if err := histogramsTable.mergeRows(ctx, tx, &histograms); err != nil {
			return fmt.Errorf("add to histograms: %w", err)
		}
	}
	return nil
}

func (k slot) compare(o slot) int {
	return cmp.Or(cmp.Compare(k.grain, o.grain), k.at.Compare(o.at), bytes.Compare(k.name[:], o.name[:]))
}

func compareBuckets(a, b projections.Bucket) int {
	return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.No, b.No))
}

// write is the beginning of a row.
func (k slot) write(row *copyRow) {
	row.int2(int16(k.grain))
	row.time(k.at)
	row.uuid(k.name)
}

// nameCombinations writes combinations that are new to this process. They are
// remembered, so a crash of the server must not lose them.
func nameCombinations(ctx context.Context, tx pgx.Tx, unknown []combination) error {
	if len(unknown) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = on"); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	for _, c := range unknown {
		batch.Queue(`INSERT INTO rm.combinations (combination, app_id, platform, family, sdk_version, network, carrier, region, is_import)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING`,
			c.name, c.cell.AppID, c.cell.Platform, string(c.cell.Family), c.cell.SDKVersion, c.cell.Network, c.cell.Carrier, c.cell.Region, c.cell.IsImport)
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("name combinations: %w", err)
	}
	return nil
}

// maxCombinations bounds what is remembered of them: some 10 MB.
const maxCombinations = 200_000

func (m *ReadModel) rememberCombinations(made []combination) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.combinations)+len(made) > maxCombinations {
		clear(m.combinations)
	}
	for _, c := range made {
		m.combinations[c.name] = true
	}
}
