package readmodeltest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/projections"
)

// As names whoever connects by the URL, for Audit.
func As(ownerURL, who string) string {
	return fmt.Sprintf("%s options='-c roomtrail.who=%s'", ownerURL, who)
}

// Audit makes a database note, by triggers, who claims partitions, who moves
// positions and who writes facts and rows of the first stage, each with its
// transaction. What a transaction notes goes with it when it is rolled back.
func Audit(t testing.TB, ownerURL string) {
	t.Helper()
	sql := `
CREATE TABLE public.noted (
    id bigserial PRIMARY KEY, xid xid8 DEFAULT pg_current_xact_id(), who text DEFAULT current_setting('roomtrail.who', true),
    what text, generation int, partition int, seq bigint, at timestamptz DEFAULT clock_timestamp());
CREATE INDEX ON public.noted (what, generation, partition, id);
CREATE INDEX ON public.noted (xid);
CREATE FUNCTION public.note_position() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.epoch <> OLD.epoch AND NEW.owner <> '' THEN
        INSERT INTO public.noted (what, generation, partition, seq) VALUES ('claim', NEW.generation, NEW.partition, NEW.seq);
    END IF;
    IF NEW.seq <> OLD.seq THEN
        INSERT INTO public.noted (what, generation, partition, seq) VALUES ('move', NEW.generation, NEW.partition, NEW.seq);
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION public.note_fact() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.noted (what, generation, partition, seq) VALUES ('fact', NEW.generation, NEW.partition, NEW.stream_seq);
    RETURN NULL;
END $$;
CREATE FUNCTION public.note_rows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.noted (what) VALUES ('rows');
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON roomtrail.positions FOR EACH ROW EXECUTE FUNCTION public.note_position();
CREATE TRIGGER note AFTER INSERT ON roomtrail.events FOR EACH ROW EXECUTE FUNCTION public.note_fact();`
	for _, table := range []string{"logins", "interruptions"} {
		sql += fmt.Sprintf(`
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON %s.%s FOR EACH STATEMENT EXECUTE FUNCTION public.note_rows();`, projections.Schema(), table)
	}
	conn := connect(t, ownerURL)
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

// Audited is what an audit has found.
type Audited struct {
	Claims, Owners, Moves, Facts int
	LongestPause                 time.Duration // between two moves of a partition
}

// CheckAudit fails where somebody has written who did not hold the newest
// claim, or written without moving the position, or moved it over what is not
// written.
func CheckAudit(t testing.TB, ownerURL string) (found Audited) {
	t.Helper()
	conn := connect(t, ownerURL)
	for what, sql := range map[string]string{
		"writes of somebody whose claim was not the newest": `
SELECT count(*) FROM public.noted n
WHERE n.what IN ('move', 'fact') AND n.who IS DISTINCT FROM (
    SELECT c.who FROM public.noted c
    WHERE c.what = 'claim' AND c.generation = n.generation AND c.partition = n.partition AND c.id < n.id
    ORDER BY c.id DESC LIMIT 1)`,
		"claims of a generation amid those of another that was written afterwards": `
SELECT count(*) FROM public.noted n
WHERE n.what = 'move' AND EXISTS (
    SELECT FROM public.noted later
    WHERE later.what = 'move' AND later.generation > n.generation AND later.id < n.id)`,
		"writes in a transaction that moved no position": `
SELECT count(*) FROM public.noted n
WHERE n.what IN ('fact', 'rows') AND NOT EXISTS (SELECT FROM public.noted m WHERE m.xid = n.xid AND m.what = 'move' AND m.who = n.who)`,
		"facts that were passed over": `
SELECT coalesce(sum(p.seq), 0) - (SELECT count(*) FROM public.noted WHERE what = 'fact') FROM roomtrail.positions p`,
	} {
		var n int
		if err := conn.QueryRow(context.Background(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n != 0 {
			t.Errorf("%d %s", n, what)
		}
	}
	err := conn.QueryRow(context.Background(), `
SELECT count(*) FILTER (WHERE what = 'claim'), count(DISTINCT who) FILTER (WHERE what = 'move'),
       count(*) FILTER (WHERE what = 'move'), count(*) FILTER (WHERE what = 'fact') FROM public.noted`).
		Scan(&found.Claims, &found.Owners, &found.Moves, &found.Facts)
	if err != nil {
		t.Fatal(err)
	}
	err = conn.QueryRow(context.Background(), `
SELECT coalesce(max(at - before), '0') FROM (
    SELECT at, lag(at) OVER (PARTITION BY generation, partition ORDER BY id) AS before FROM public.noted WHERE what = 'move') moves`).
		Scan(&found.LongestPause)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
