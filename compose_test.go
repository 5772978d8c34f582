package roomtrail_test

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"
)

// Docker itself is not needed for these tests: the file is loaded by the
// library that Docker Compose is made of.

// secrets are what .env must hold. None of them may have a default.
var secrets = []string{
	"GRAFANA_ADMIN_PASSWORD",
	"ROOMTRAIL_ALERT_WEBHOOK_URL",
	"ROOMTRAIL_NATS_PASSWORD",
	"ROOMTRAIL_OWNER_PASSWORD",
	"ROOMTRAIL_READER_PASSWORD",
	"ROOMTRAIL_READ_KEYS",
	"ROOMTRAIL_WRITE_KEYS",
}

// settings are the names that the programs, NATS and Grafana read. A name that
// is misspelt in the file would be ignored in silence.
var settings = []string{
	"ROOMTRAIL_ALERT_WEBHOOK_URL",
	"ROOMTRAIL_ALLOWED_ORIGINS",
	"ROOMTRAIL_LISTEN",
	"ROOMTRAIL_NATS_MONITOR_URL",
	"ROOMTRAIL_NATS_PASSWORD",
	"ROOMTRAIL_POSTGRES_ADDRESS",
	"ROOMTRAIL_POSTGRES_DATABASE",
	"ROOMTRAIL_POSTGRES_SSLMODE",
	"ROOMTRAIL_QUERY_LISTEN",
	"ROOMTRAIL_READER_PASSWORD",
	"ROOMTRAIL_READ_KEYS",
	"ROOMTRAIL_WRITE_KEYS",
	"ROOMTRAIL_ZEGO_CALLBACK_SECRETS",
}

// filled is a .env in which each secret can be told from the others.
func filled() map[string]string {
	env := map[string]string{}
	for i, name := range secrets {
		env[name] = fmt.Sprintf("%048d", i+1) // digits alone are valid hex, and the hardest to quote
	}
	return env
}

func loadCompose(t testing.TB, env map[string]string) (*types.Project, error) {
	t.Helper()
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	options, err := cli.NewProjectOptions([]string{"docker-compose.yml"}, cli.WithEnv(list))
	if err != nil {
		t.Fatalf("options: %v", err)
	}
	return options.LoadProject(t.Context())
}

func compose(t testing.TB) *types.Project {
	t.Helper()
	project, err := loadCompose(t, filled())
	if err != nil {
		t.Fatalf("docker-compose.yml does not load: %v", err)
	}
	return project
}

func TestComposeServices(t *testing.T) {
	t.Parallel()
	project := compose(t)
	if got := project.ServiceNames(); !slices.Equal(got, []string{"grafana", "ingest", "nats", "postgres", "query"}) {
		t.Errorf("services are %q", got)
	}
	for name, service := range project.Services {
		if service.HealthCheck == nil || len(service.HealthCheck.Test) < 2 || service.HealthCheck.Disable {
			t.Errorf("%s has no health check", name)
		}
		for needed, dependency := range service.DependsOn {
			if dependency.Condition != types.ServiceConditionHealthy {
				t.Errorf("%s does not wait until %s is healthy", name, needed)
			}
		}
		if service.Restart != types.RestartPolicyUnlessStopped {
			t.Errorf("%s is restarted %q", name, service.Restart)
		}
		if service.StopGracePeriod == nil {
			t.Errorf("%s has no time to stop", name)
		}
		if !service.ReadOnly {
			t.Errorf("%s can write to its own image", name)
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %d on %q, want the loopback address", name, port.Target, port.HostIP)
			}
		}
	}
}

var pinned = regexp.MustCompile(`^[a-z0-9./-]+:[0-9]+\.[0-9]+\.?[0-9a-z.-]*$`)

func TestImagesArePinned(t *testing.T) {
	t.Parallel()
	for name, service := range compose(t).Services {
		if service.Build == nil && !pinned.MatchString(service.Image) {
			t.Errorf("%s runs the image %q, want a version", name, service.Image)
		}
		if service.Build != nil {
			dockerfile := filepath.Join(service.Build.Context, service.Build.Dockerfile)
			if text := readText(t, dockerfile); !strings.Contains(text, " AS "+service.Build.Target+"\n") {
				t.Errorf("%s is built from the target %q, which the Dockerfile has not", name, service.Build.Target)
			}
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(readText(t, "Dockerfile"), -1) {
		// Distroless images are named by the Debian release, not by a version.
		if image := match[1]; !pinned.MatchString(image) && image != "gcr.io/distroless/static-debian12:nonroot" {
			t.Errorf("the Dockerfile builds on %q, want a version", image)
		}
	}
}

func TestMissingSecretsAreNamed(t *testing.T) {
	t.Parallel()
	for _, name := range secrets {
		for how, spoil := range map[string]func(map[string]string){
			"unset": func(env map[string]string) { delete(env, name) },
			"empty": func(env map[string]string) { env[name] = "" },
		} {
			env := filled()
			spoil(env)
			_, err := loadCompose(t, env)
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), ".env.example") {
				t.Errorf("%s %s: %v, want an error that names it and .env.example", name, how, err)
			}
		}
	}
}

func TestSecretsHaveNoDefaults(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, match := range regexp.MustCompile(`\$\{?(\w+)([^}\n]*)`).FindAllStringSubmatch(readText(t, "docker-compose.yml"), -1) {
		used[match[1]] = true
		if !strings.HasPrefix(match[2], ":?") {
			t.Errorf("docker-compose.yml does not insist on %s", match[1])
		}
	}
	if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, secrets) {
		t.Errorf("docker-compose.yml asks for %q, want %q", got, secrets)
	}
	example := readText(t, ".env.example")
	for _, name := range secrets {
		if !regexp.MustCompile(`(?m)^` + name + `=$`).MatchString(example) {
			t.Errorf(".env.example has no empty line for %s", name)
		}
	}
	// What looks like a secret must come from .env and nowhere else.
	values := slices.Collect(maps.Values(filled()))
	secretive := regexp.MustCompile(`PASSWORD|KEY|SECRET|_URL$`)
	for name, service := range compose(t).Services {
		for variable, value := range service.Environment {
			fromEnv := value == nil || slices.ContainsFunc(values, func(secret string) bool { return strings.Contains(*value, secret) })
			if secretive.MatchString(variable) && !fromEnv && variable != "ROOMTRAIL_NATS_MONITOR_URL" {
				t.Errorf("%s: %s is written into docker-compose.yml", name, variable)
			}
		}
	}
}

func TestSettingsAreKnown(t *testing.T) {
	t.Parallel()
	for name, service := range compose(t).Services {
		for variable := range service.Environment {
			if strings.HasPrefix(variable, "ROOMTRAIL_") && !slices.Contains(settings, variable) {
				t.Errorf("%s is given %s, which nothing reads", name, variable)
			}
		}
	}
}

func TestMountedFilesExist(t *testing.T) {
	t.Parallel()
	project := compose(t)
	for name, service := range project.Services {
		for _, volume := range service.Volumes {
			switch volume.Type {
			case types.VolumeTypeBind:
				if _, err := os.Stat(volume.Source); err != nil {
					t.Errorf("%s mounts what is not there: %v", name, err)
				}
				if !volume.ReadOnly {
					t.Errorf("%s can write to %s", name, volume.Source)
				}
			case types.VolumeTypeVolume:
				if _, declared := project.Volumes[volume.Source]; !declared {
					t.Errorf("%s keeps its data in %q, which has no name", name, volume.Source)
				}
			}
		}
	}
}

// The server's own parser reads the file, with the password as compose hands
// it over. Not parallel: the file takes it from the environment.
func TestNATSKeepsWhatItAcknowledges(t *testing.T) {
	project := compose(t)
	t.Setenv("ROOMTRAIL_NATS_PASSWORD", *project.Services["nats"].Environment["ROOMTRAIL_NATS_PASSWORD"])
	options, err := server.ProcessConfigFile("deploy/nats.conf")
	if err != nil {
		t.Fatalf("deploy/nats.conf: %v", err)
	}
	if !options.JetStream || !options.SyncAlways {
		t.Errorf("JetStream is %v, sync_interval always is %v: an acknowledged event could be lost", options.JetStream, options.SyncAlways)
	}
	if got, want := options.StoreDir, mountOf(t, project, "nats", "nats-data"); got != want {
		t.Errorf("NATS stores in %s, its volume is mounted at %s", got, want)
	}
	ingest := project.Services["ingest"].Environment
	address, err := url.Parse(*ingest["NATS_URL"])
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	if address.User.Username() != options.Username || password != options.Password {
		t.Errorf("NATS_URL has other credentials than deploy/nats.conf")
	}
	if got, want := address.Host, fmt.Sprintf("nats:%d", options.Port); got != want {
		t.Errorf("NATS_URL leads to %s, the server listens on %s", got, want)
	}
	if got, want := *ingest["ROOMTRAIL_NATS_MONITOR_URL"], fmt.Sprintf("http://nats:%d", options.HTTPPort); got != want {
		t.Errorf("the intake asks %s, the server answers on %s", got, want)
	}
}

func TestGrafanaFindsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	project := compose(t)
	grafana := project.Services["grafana"]
	target := mountOf(t, project, "grafana", "generated")
	if provider := readText(t, "dashboards/provisioning/dashboards/roomtrail.yaml"); !strings.Contains(provider, "path: "+target+"\n") {
		t.Errorf("dashboards are mounted at %s, the provider looks elsewhere", target)
	}
	if home := *grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]; home != target+"/rooms.json" {
		t.Errorf("the home dashboard is %s", home)
	}
	names := regexp.MustCompile(`\$([A-Z][A-Z_]+)`)
	for _, pattern := range []string{"datasources/*.yaml", "alerting/contact-points.json"} {
		files, err := filepath.Glob("dashboards/provisioning/" + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no file matches %s: %v", pattern, err)
		}
		for _, file := range files {
			for _, match := range names.FindAllStringSubmatch(readText(t, file), -1) {
				if grafana.Environment[match[1]] == nil {
					t.Errorf("%s wants %s, which grafana is not given", file, match[1])
				}
			}
		}
	}
}

// mountOf is where a service finds a volume or directory, by its last name.
func mountOf(t testing.TB, project *types.Project, service, source string) string {
	t.Helper()
	for _, volume := range project.Services[service].Volumes {
		if filepath.Base(volume.Source) == source {
			return volume.Target
		}
	}
	t.Fatalf("%s does not mount %s", service, source)
	return ""
}

func readText(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
