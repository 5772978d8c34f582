package readmodel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/projections"
)

// outcomeKeys split the numerator alone; they say what they are in a member.
func outcomeKeys(name string) map[string]string {
	code := "error_code"
	if strings.HasPrefix(name, "login") && name != "logout_failure_rate" {
		code = "login_error_code"
	}
	return map[string]string{"kick_reason": "kick_reason", "attribution": "attribution", "end_provenance": "said_by", "provenance": "provenance", "error_code": code}
}

// question is one call of metric.
type question struct {
	name         string
	since, until time.Time
	step         time.Duration
	by           []string
	app          any
}

func bucketOf(q question, at time.Time) time.Time {
	if q.step == 0 {
		return q.since
	}
	monday := time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC)
	return monday.Add(at.Sub(monday) / q.step * q.step)
}

// spot names a bucket and a key; texts that are not there are the same as empty ones.
func spot(bucket time.Time, key map[string]any) string {
	out := bucket.UTC().Format(time.RFC3339Nano)
	for _, k := range slices.Sorted(maps.Keys(key)) {
		v := key[k]
		if v == "" {
			v = nil
		}
		out += fmt.Sprintf(" %s=%v", k, v)
	}
	return out
}

// slow answers a question from the members.
func slow(q question, members map[string][]row) map[string]told {
	ref, outcomes := references[q.name], outcomeKeys(q.name)
	numerators, rest := map[string]float64{}, map[string]told{} // by whole key; by what of it splits all
	whole := map[string]string{}                                // from one to the other
	if len(q.by) == 0 {
		for b := bucketOf(q, q.since); b.Before(q.until); b = b.Add(max(q.step, time.Minute)) {
			whole[spot(b, nil)] = spot(b, nil)
			if q.step == 0 {
				break
			}
		}
	}
	splits := false
	for _, r := range members[ref.of] {
		when := r["at"].(time.Time)
		if when.Before(q.since) || !when.Before(q.until) || q.app != nil && r["app_id"] != q.app {
			continue
		}
		all, kept := map[string]any{}, map[string]any{}
		for _, k := range q.by {
			if c, is := outcomes[k]; is {
				all[k], splits = r[c], true
			} else {
				all[k], kept[k] = r[k], r[k]
			}
		}
		x := ref.tell(r)
		full, part := spot(bucketOf(q, when), all), spot(bucketOf(q, when), kept)
		whole[full] = part
		numerators[full] += x.numerator
		sum := rest[part]
		sum.denominator, sum.all, sum.open, sum.inferred = sum.denominator+x.denominator, sum.all+x.all, sum.open+x.open, sum.inferred+x.inferred
		rest[part] = sum
	}
	out := map[string]told{}
	for full, part := range whole {
		x := rest[part]
		x.numerator = numerators[full]
		if splits && x.numerator == 0 || len(q.by) > 0 && x.numerator == 0 && x.denominator == 0 && x.all == 0 {
			continue
		}
		out[full] = x
	}
	return out
}

// ask asks the function metric.
func ask(t testing.TB, conn *pgx.Conn, q question) map[string]row {
	t.Helper()
	var step any
	if q.step > 0 {
		step = fmt.Sprintf("%d minutes", int(q.step.Minutes()))
	}
	rows, err := conn.Query(context.Background(), "SELECT * FROM metric($1, $2, $3, $4::interval, $5, $6)", q.name, q.since, q.until, step, q.by, q.app)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		t.Fatalf("%+v: %v\n%s", q, err, where(err))
	}
	out := map[string]row{}
	for _, r := range list {
		key, _ := r["key"].(map[string]any)
		for k, v := range key {
			if f, is := v.(float64); is { // as JSON has numbers
				key[k] = int64(f)
			}
		}
		at := spot(r["bucket"].(time.Time), key)
		if out[at] != nil {
			t.Fatalf("%+v: two rows at %s", q, at)
		}
		out[at] = r
	}
	return out
}

// randomQuestion asks for a figure anyhow.
func randomQuestion(random *rand.Rand, d projections.Definition) question {
	at := func() time.Time {
		x := midday.Add(time.Duration(random.Int63n(int64(8*time.Hour))) - 4*time.Hour)
		return x.Truncate([]time.Duration{time.Microsecond, time.Second, time.Minute, time.Hour}[random.Intn(4)])
	}
	q := question{name: d.Name, since: at(), until: at(), by: []string{}}
	if random.Intn(5) == 0 {
		q.since = q.since.Add(-72 * time.Hour)
	}
	if !q.since.Before(q.until) {
		q.since, q.until = q.until, q.since.Add(time.Microsecond)
	}
	q.step = []time.Duration{0, 0, time.Minute, 5 * time.Minute, 7 * time.Minute, time.Hour, 90 * time.Minute, 24 * time.Hour}[random.Intn(8)]
	for range random.Intn(3) {
		k := d.By[random.Intn(len(d.By))]
		if references[d.Name].of == "event" && slices.Contains([]string{"sdk_version", "network", "carrier", "region"}, k) {
			continue // what an event does not say itself is not in its view
		}
		if !slices.Contains(q.by, k) {
			q.by = append(q.by, k)
		}
	}
	if random.Intn(4) == 0 {
		q.app = "a"
	}
	return q
}

// Each figure, asked at any time for any range, step and key, is what its
// definition says of the outward views.
func TestFiguresEqualTheirDefinitions(t *testing.T) {
	t.Parallel()
	for seed := range int64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewSource(seed + 100))
			owner, url := randomWorld(t, seed+10, 120)
			for range 3 {
				now := midday.Add(time.Duration(random.Int63n(int64(10*time.Hour))) - 3*time.Hour).Truncate(time.Microsecond)
				members, conn := loaded(t, owner, now), at(t, url, now)
				for _, d := range projections.Definitions {
					if references[d.Name].tell == nil {
						continue
					}
					for range 6 {
						q := randomQuestion(random, d)
						compare(t, now, q, d, ask(t, conn, q), slow(q, members))
					}
				}
			}
		})
	}
}

func compare(t *testing.T, now time.Time, q question, d projections.Definition, got map[string]row, want map[string]told) {
	t.Helper()
	near := func(got any, want float64, isNull bool) bool {
		f, is := got.(float64)
		return is && !isNull && math.Abs(f-want) <= 1e-6*math.Max(1, math.Abs(want)) || got == nil && isNull
	}
	for at, x := range want {
		r := got[at]
		if r == nil {
			t.Errorf("%+v as of %s: no row at %s; want %+v", q, now, at, x)
			continue
		}
		until := q.until
		if end := r["bucket"].(time.Time).Add(q.step); q.step > 0 && end.Before(until) {
			until = end
		}
		hasInterval := d.IsShare && x.denominator > 0
		low, high := wilson(x.numerator, x.denominator)
		inferredOf := x.denominator
		if d.InferredOf != "" {
			inferredOf = 0 // told elsewhere
		}
		if !near(r["numerator"], x.numerator, false) || !near(r["denominator"], x.denominator, false) ||
			!near(r["value"], d.Scale*x.numerator/x.denominator, x.denominator == 0) ||
			!near(r["low"], low, !hasInterval) || !near(r["high"], high, !hasInterval) ||
			!near(r["open"], x.open/x.all, x.all == 0) || r["settled"] != (x.open == 0 && !until.After(now)) ||
			d.Inferred != "0" && d.InferredOf == "" && !near(r["inferred"], x.inferred/inferredOf, inferredOf == 0) {
			text, _ := json.Marshal(r)
			t.Errorf("%+v as of %s at %s:\ngot %s\nwant %+v", q, now, at, text, x)
		}
	}
	for at := range got {
		if _, is := want[at]; !is {
			t.Errorf("%+v as of %s: a row too many at %s: %v", q, now, at, got[at])
		}
	}
}

// wilson is the 95 % score interval, by its textbook form.
func wilson(hits, n float64) (low, high float64) {
	const z = 1.959964
	p := hits / n
	middle, half := (p+z*z/(2*n))/(1+z*z/n), z/(1+z*z/n)*math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(middle-half, 0), min(middle+half, 1)
}

func TestEveryFigureHasASecondTelling(t *testing.T) {
	t.Parallel()
	for _, d := range projections.Definitions {
		told := references[d.Name].tell != nil || rowReferences[d.Name] != "" || d.Quantile > 0
		// Parts of another figure, and the view pipeline_status itself.
		told = told || strings.HasPrefix(d.Name, "room_impact_") || strings.HasPrefix(d.Name, "projection_")
		if !told {
			t.Errorf("%s has no reference", d.Name)
		}
	}
}
