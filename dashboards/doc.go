// Package dashboards is what Grafana shows and pages about, written in Go.
//
// It promises that the JSON under generated/ and provisioning/alerting/ is
// exactly what this package builds, that every panel says what it counts, and
// that every query reads nothing but the public views of the read model. The
// tests hold it to all three; `go test ./dashboards -update` writes the files
// anew after a change.
//
// It refuses a second data source: pipeline health, too, is asked in SQL. And
// it holds no rule about rooms: what an outcome is, when a heartbeat counts as
// lost and which limits apply is decided in the views.
//
//	rooms.go  ── Rooms() ──┐
//	                       ├── Files() ──> generated/, provisioning/alerting/
//	alerts.go ── rules() ──┘
//
// Below Rooms stands one file for each row of the dashboard; postgres.go is the
// query type, sql.go what queries share, looks.go how panels look.
package dashboards
