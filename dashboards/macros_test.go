package dashboards_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// macros stands in for Grafana: it replaces the variables, which the browser
// does, and then the macros, which the Postgres data source does, so that a
// panel's SQL can be run as Postgres would get it.
type macros struct {
	from, to time.Time
	values   map[string][]string // what is chosen for each variable
}

// Grafana's own pattern. A macro ends at the first closing bracket, so no
// function call can stand inside one.
var macroPattern = regexp.MustCompile(`\$([_a-zA-Z0-9]+)\(([^)]*)\)`)

var variablePattern = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}|\$([a-zA-Z]\w*)`)

// expand answers SQL without a dollar sign, or what is wrong with it.
func (m macros) expand(sql string) (string, error) {
	var problem error
	fail := func(format string, arguments ...any) string {
		if problem == nil {
			problem = fmt.Errorf(format, arguments...)
		}
		return ""
	}
	sql = variablePattern.ReplaceAllStringFunc(sql, func(found string) string {
		groups := variablePattern.FindStringSubmatch(found)
		name, format := groups[1]+groups[3], groups[2]
		values, declared := m.values[name]
		switch {
		case !declared:
			return fail("variable %s is not declared", found)
		case format == "sqlstring":
			return quoted(values)
		case format == "" && len(values) == 1:
			return values[0]
		}
		return fail("%s: a list, or a format other than sqlstring", found)
	})
	sql = macroPattern.ReplaceAllStringFunc(sql, func(found string) string {
		groups := macroPattern.FindStringSubmatch(found)
		arguments := strings.Split(groups[2], ",")
		for i := range arguments {
			arguments[i] = strings.Trim(arguments[i], " ")
		}
		expanded, err := m.macro(groups[1], arguments)
		if err != nil {
			return fail("%s: %w", found, err)
		}
		return expanded
	})
	if at := strings.IndexByte(sql, '$'); at >= 0 && problem == nil {
		return "", fmt.Errorf("left over: %.40s", sql[at:])
	}
	return sql, problem
}

func (m macros) macro(name string, arguments []string) (string, error) {
	from, to := "'"+m.from.UTC().Format(time.RFC3339Nano)+"'", "'"+m.to.UTC().Format(time.RFC3339Nano)+"'"
	for _, argument := range arguments {
		if strings.Contains(argument, "(") {
			return "", fmt.Errorf("a function call inside a macro is cut off at its bracket")
		}
	}
	switch name {
	case "__timeFilter":
		return arguments[0] + " BETWEEN " + from + " AND " + to, nil
	case "__timeFrom":
		return from, nil
	case "__timeTo":
		return to, nil
	case "__timeGroupAlias":
		if len(arguments) != 2 {
			return "", fmt.Errorf("wants a column and an interval")
		}
		step, err := interval(arguments[1])
		return fmt.Sprintf(`floor(extract(epoch from %s)/%v)*%v AS "time"`, arguments[0], step.Seconds(), step.Seconds()), err
	}
	return "", fmt.Errorf("unknown macro")
}

// interval reads what Grafana reads: Go's durations, and days.
func interval(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		hours, err := time.ParseDuration(days + "h")
		return 24 * hours, err
	}
	return time.ParseDuration(text)
}

// quoted is Grafana's format sqlstring. The list of no values is the one of
// "nothing chosen", which arrives as an empty string.
func quoted(values []string) string {
	if len(values) == 0 {
		return "''"
	}
	list := make([]string, len(values))
	for i, value := range values {
		list[i] = "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	return strings.Join(list, ",")
}

func TestMacros(t *testing.T) {
	t.Parallel()
	m := macros{
		from:   time.Date(2026, 5, 4, 3, 0, 0, 0, time.UTC),
		to:     time.Date(2026, 5, 4, 4, 0, 0, 0, time.UTC),
		values: map[string][]string{"app": {"1", "o'clock"}, "room": {"r"}, "interval": {"5m"}, "none": nil},
	}
	for _, c := range []struct{ sql, want string }{
		{"$__timeFilter(at)", "at BETWEEN '2026-05-04T03:00:00Z' AND '2026-05-04T04:00:00Z'"},
		{"$__timeFrom()::timestamptz", "'2026-05-04T03:00:00Z'::timestamptz"},
		{"$__timeGroupAlias(at, $interval)", `floor(extract(epoch from at)/300)*300 AS "time"`},
		{"a IN (${app:sqlstring})", "a IN ('1','o''clock')"},
		{"a IN (${none:sqlstring})", "a IN ('')"},
		{"a = ${room:sqlstring}", "a = 'r'"},
		{"$__timeFilter(coalesce(a, b))", ""},
		{"$__nothing(a)", ""},
		{"a IN ($app)", ""},
		{"$undeclared", ""},
	} {
		got, err := m.expand(c.sql)
		if (err != nil) != (c.want == "") || err == nil && got != c.want {
			t.Errorf("expand %s = %s, %v; want %q", c.sql, got, err, c.want)
		}
	}
}
