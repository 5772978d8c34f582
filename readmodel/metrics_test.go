package readmodel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomtrail/projections"
	"roomtrail/readmodel/readmodeltest"
)

func reader(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// Every figure can be asked for, whole, by steps, and by each of its keys.
func TestEveryFigureAnswers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, url := readmodeltest.Database(t)
	start := hour()[0].OccurredAt
	readmodeltest.Apply(t, readmodeltest.Open(t, owner), hour(), 0)
	conn := at(t, url, start.Add(time.Hour))
	from, to := start.Add(-90*time.Second-time.Microsecond), start.Add(50*time.Minute+7*time.Second)
	for _, d := range projections.Definitions {
		for _, by := range append([]string{""}, d.By...) {
			keys := []string{}
			if by != "" {
				keys = append(keys, by)
			}
			for _, step := range []any{nil, "5 minutes"} {
				rows, err := conn.Query(ctx, "SELECT * FROM metric($1, $2, $3, $4::interval, $5)", d.Name, from, to, step, keys)
				if err != nil {
					t.Fatal(err)
				}
				got, err := pgx.CollectRows(rows, pgx.RowToMap)
				if err != nil {
					t.Fatalf("%s by %s: %v\n%s", d.Name, by, err, where(err))
				}
				if by == "" && len(got) == 0 {
					t.Errorf("%s: no row", d.Name)
				}
			}
		}
	}
}

// where is how far a statement got.
func where(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Where + refused.InternalQuery
	}
	return ""
}
