package dashboards_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"roomtrail/dashboards"
)

// board is what of a dashboard's JSON the tests look at.
type board struct {
	UID        string  `json:"uid"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []variable `json:"list"`
	} `json:"templating"`
}

type panel struct {
	ID          int                      `json:"id"`
	Type        string                   `json:"type"`
	Title       string                   `json:"title"`
	Description string                   `json:"description"`
	Targets     []target                 `json:"targets"`
	Panels      []panel                  `json:"panels"`
	GridPos     struct{ X, Y, W, H int } `json:"gridPos"`
	FieldConfig struct {
		Defaults struct {
			Unit string `json:"unit"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
}

type target struct {
	RefID      string `json:"refId"`
	Format     string `json:"format"`
	RawSQL     string `json:"rawSql"`
	Datasource struct {
		Type, UID string
	} `json:"datasource"`
}

type variable struct {
	Name, Type string
	Query      string
	AllValue   string
	Datasource struct{ UID string }
}

type ruleGroups struct {
	Groups []struct {
		Rules []alertRule `json:"rules"`
	} `json:"groups"`
}

type alertRule struct {
	UID, Title, Condition, DashboardUID, NoDataState, ExecErrState string
	PanelID                                                        int
	Annotations, Labels                                            map[string]string
	Data                                                           []struct {
		RefID, DatasourceUID string
		Model                target
	}
}

func rooms(t testing.TB) board {
	t.Helper()
	var b board
	decode(t, build(t)["generated/rooms.json"], &b)
	return b
}

func alertRules(t testing.TB) []alertRule {
	t.Helper()
	var file ruleGroups
	decode(t, build(t)["provisioning/alerting/rules.json"], &file)
	var all []alertRule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("no alert rules")
	}
	return all
}

// statement is one SQL text and where it stands.
type statement struct {
	where, sql, format string
	alert              bool
	one                bool // answers exactly one row, whatever there is
}

func statements(t testing.TB) []statement {
	t.Helper()
	var all []statement
	b := rooms(t)
	for _, p := range b.Panels {
		for _, q := range p.Targets {
			all = append(all, statement{where: "panel " + p.Title + " " + q.RefID, sql: q.RawSQL, format: q.Format, one: p.Type == "stat"})
		}
	}
	for _, v := range b.Templating.List {
		if v.Type == "query" {
			all = append(all, statement{where: "variable " + v.Name, sql: v.Query, format: string(dashboards.FormatTable)})
		}
	}
	for _, r := range alertRules(t) {
		for _, q := range r.Data {
			if q.DatasourceUID == dashboards.DatasourceUID {
				all = append(all, statement{where: "alert " + r.Title + " " + q.RefID, sql: q.Model.RawSQL, format: q.Model.Format, alert: true, one: true})
			}
		}
	}
	return all
}

func TestEveryPanelSaysWhatItShows(t *testing.T) {
	t.Parallel()
	ids := map[int]string{}
	for _, p := range rooms(t).Panels {
		if p.ID == 0 || ids[p.ID] != "" {
			t.Errorf("panel %q has the id %d, which is zero or that of %q", p.Title, p.ID, ids[p.ID])
		}
		ids[p.ID] = p.Title
		if p.Title == "" {
			t.Errorf("panel %d has no title", p.ID)
		}
		if p.Type == "row" {
			continue
		}
		if p.FieldConfig.Defaults.Unit == "" {
			t.Errorf("panel %q has no unit", p.Title)
		}
		if len(p.Description) < 40 || !strings.HasSuffix(p.Description, ".") {
			t.Errorf("panel %q does not say its definition: %q", p.Title, p.Description)
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if q.Datasource.UID != dashboards.DatasourceUID || q.Datasource.Type != dashboards.DatasourceType {
				t.Errorf("panel %q asks another data source: %+v", p.Title, q.Datasource)
			}
			if refs[q.RefID] {
				t.Errorf("panel %q has two queries %s", p.Title, q.RefID)
			}
			refs[q.RefID] = true
		}
	}
}

// Grafana would push overlapping panels apart, so that the layout in the
// browser is another than the one in the code.
func TestPanelsFillTheGridWithoutOverlap(t *testing.T) {
	t.Parallel()
	taken := map[[2]int]string{}
	for _, p := range rooms(t).Panels {
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("panel %q does not fit the 24 columns: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("panels %q and %q overlap", other, p.Title)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

// Grafana drops panels that stand inside a row which is not folded.
func TestRowsAreHeadings(t *testing.T) {
	t.Parallel()
	var titles []string
	for _, p := range rooms(t).Panels {
		if p.Type == "row" {
			titles = append(titles, p.Title)
			if len(p.Panels) > 0 {
				t.Errorf("row %q holds panels", p.Title)
			}
		}
	}
	want := []string{"Now", "Reconnects", "Kicks and heartbeat timeouts", "Logins", "One room", "Pipeline"}
	if !slices.Equal(titles, want) {
		t.Errorf("rows are %q, want %q", titles, want)
	}
}

// views are the public views of the read model that a dashboard may rely on.
var views = map[string]bool{
	"room_events": true, "sessions": true, "interruptions": true, "kicks": true, "heartbeat_timeouts": true,
	"server_visits": true, "dark_sessions": true, "storms": true, "health_minutes": true, "health_hours": true,
	"health_days": true, "anomalies": true, "alert_state": true, "alerts": true, "annotations": true,
	"error_codes": true, "profiles": true, "metric_definitions": true, "quarantine": true, "audit_ledger": true,
	"pipeline_status": true,
}

var (
	relationPattern = regexp.MustCompile(`\b(?:FROM|JOIN)\s+([a-z_]+)`)
	namedPattern    = regexp.MustCompile(`([a-z_]+) AS \(`)
	distinctFrom    = regexp.MustCompile(`IS (?:NOT )?DISTINCT FROM`)
)

func TestSQLReadsOnlyPublicViews(t *testing.T) {
	t.Parallel()
	for _, s := range statements(t) {
		sql := distinctFrom.ReplaceAllString(s.sql, "<>")
		named := map[string]bool{}
		for _, match := range namedPattern.FindAllStringSubmatch(sql, -1) {
			named[match[1]] = true
		}
		read := 0
		for _, match := range relationPattern.FindAllStringSubmatch(sql, -1) {
			switch {
			case views[match[1]]:
				read++
			case !named[match[1]]:
				t.Errorf("%s reads %s, which is no public view", s.where, match[1])
			}
		}
		if read == 0 {
			t.Errorf("%s reads no view", s.where)
		}
	}
}

func TestVariablesAndMacrosAreKnown(t *testing.T) {
	t.Parallel()
	m := everything(t, time.Now())
	for _, s := range statements(t) {
		used := m
		if s.alert {
			used.values = nil // an alert has no dashboard around it
		}
		if _, err := used.expand(s.sql); err != nil {
			t.Errorf("%s: %v", s.where, err)
		}
	}
	titles := macros{values: m.values}
	for _, p := range rooms(t).Panels {
		if _, err := titles.expand(p.Title); err != nil {
			t.Errorf("title %q: %v", p.Title, err)
		}
	}
}

// everything is a dashboard with nothing filtered, looking at two hours.
func everything(t testing.TB, now time.Time) macros {
	t.Helper()
	m := macros{from: now.Add(-2 * time.Hour), to: now.Add(time.Minute), values: map[string][]string{}}
	for _, v := range rooms(t).Templating.List {
		m.values[v.Name] = nil
	}
	if names := slices.Sorted(maps.Keys(m.values)); !slices.Equal(names, []string{"app", "interval", "platform", "room"}) {
		t.Fatalf("the dashboard's variables are %q", names)
	}
	m.values["interval"] = []string{"1m"}
	m.values["room"] = []string{"no such room"}
	return m
}

func TestFiltersAllowAll(t *testing.T) {
	t.Parallel()
	for _, v := range rooms(t).Templating.List {
		if v.Type == "query" && v.Datasource.UID != dashboards.DatasourceUID {
			t.Errorf("variable %s asks another data source", v.Name)
		}
		if (v.Name == "app" || v.Name == "platform") && v.AllValue != "''" {
			t.Errorf("All of variable %s is sent as %q, which the SQL does not read as no filter", v.Name, v.AllValue)
		}
	}
}

func TestAlertsLeadToTheirPanels(t *testing.T) {
	t.Parallel()
	b := rooms(t)
	uids := map[string]bool{}
	for _, r := range alertRules(t) {
		if r.UID == "" || len(r.UID) > 40 || uids[r.UID] {
			t.Errorf("rule %q has the uid %q, which is missing, too long or taken", r.Title, r.UID)
		}
		uids[r.UID] = true
		if r.DashboardUID != b.UID || !slices.ContainsFunc(b.Panels, func(p panel) bool { return p.ID == r.PanelID && p.Type != "row" }) {
			t.Errorf("rule %q leads to panel %d of %q, which is not there", r.Title, r.PanelID, r.DashboardUID)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
			t.Errorf("rule %q lacks a summary, a description or a severity", r.Title)
		}
		for _, text := range r.Annotations {
			if strings.Contains(text, "$") {
				t.Errorf("rule %q: Grafana may take a $ for an environment variable: %s", r.Title, text)
			}
		}
		if r.NoDataState == "OK" || r.ExecErrState == "OK" {
			t.Errorf("rule %q takes silence for health", r.Title)
		}
		if last := r.Data[len(r.Data)-1]; last.RefID != r.Condition || last.DatasourceUID != "__expr__" {
			t.Errorf("rule %q is decided by %q, not by its last expression", r.Title, r.Condition)
		}
	}
}
