package dashboards_test

//lint:file-ignore SA1019 Files are provisioned in the classic form, which every Grafana since 12 reads; the SDK prefers v2.

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/alerting"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"roomtrail/dashboards"
)

var update = flag.Bool("update", false, "write the generated files anew")

const updateHint = "run `go test ./dashboards -update` and commit what it writes"

// generated holds the directories in which every JSON file is a built one.
var generated = []string{"generated", "provisioning/alerting"}

func build(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := dashboards.Files()
	if err != nil {
		t.Fatalf("build the files: %v", err)
	}
	return files
}

func TestGeneratedFilesAreCurrent(t *testing.T) {
	t.Parallel()
	files := build(t)
	for path, want := range files {
		if *update {
			if err := os.WriteFile(filepath.FromSlash(path), want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(filepath.FromSlash(path))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("dashboards/%s is not what the Go code builds: %s", path, updateHint)
		}
	}
	for _, dir := range generated {
		err := filepath.WalkDir(filepath.FromSlash(dir), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && files[filepath.ToSlash(path)] == nil {
				t.Errorf("dashboards/%s is built by nothing: remove it", filepath.ToSlash(path))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestTheSameSourceBuildsTheSameBytes(t *testing.T) {
	t.Parallel()
	first := build(t)
	for range 20 {
		for path, content := range build(t) {
			if !bytes.Equal(content, first[path]) {
				t.Fatalf("%s differs between two builds", path)
			}
		}
	}
}

// The SDK's strict decoder knows every field of a dashboard and of each panel
// type. It answers a typed nil on success, hence errors.As instead of err != nil.
func TestDashboardIsValid(t *testing.T) {
	t.Parallel()
	plugins.RegisterDefaultPlugins()
	cog.NewRuntime().RegisterDataqueryVariant(variants.DataqueryConfig{
		Identifier: dashboards.DatasourceType,
		StrictDataqueryUnmarshaler: func(raw []byte) (variants.Dataquery, error) {
			var query dashboards.Query
			decoder := json.NewDecoder(bytes.NewReader(raw))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&query); err != nil {
				return nil, cog.MakeBuildErrors("target", err)
			}
			return query, nil
		},
	})
	raw := build(t)["generated/rooms.json"]
	var board dashboard.Dashboard
	if problems := strict(board.UnmarshalJSONStrict(raw)); len(problems) > 0 {
		t.Errorf("the dashboard is not valid:\n%v", problems)
	}
	// The checker must bite on every level, or a valid dashboard means nothing.
	for _, field := range []string{"schemaVersion", "gridPos", "graphMode", "rawSql", "includeAll"} {
		spoilt := bytes.Replace(raw, []byte(`"`+field+`"`), []byte(`"`+field+`x"`), 1)
		if problems := strict(board.UnmarshalJSONStrict(spoilt)); len(problems) == 0 {
			t.Errorf("the checker accepts a dashboard where %s is misspelt", field)
		}
	}
}

func strict(err error) cog.BuildErrors {
	var problems cog.BuildErrors
	if err != nil && !errors.As(err, &problems) {
		return cog.MakeBuildErrors("json", err)
	}
	return problems
}

func TestNotificationPolicyIsValid(t *testing.T) {
	t.Parallel()
	var file struct {
		Policies []json.RawMessage `json:"policies"`
	}
	decode(t, build(t)["provisioning/alerting/policies.json"], &file)
	var tree map[string]json.RawMessage
	decode(t, file.Policies[0], &tree)
	delete(tree, "orgId") // the file's own, beside the fields of a policy
	raw, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	var policy alerting.NotificationPolicy
	if problems := strict(policy.UnmarshalJSONStrict(raw)); len(problems) > 0 {
		t.Errorf("the notification policy is not valid:\n%v", problems)
	}
}

func decode(t testing.TB, raw []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatalf("decode: %v", err)
	}
}
