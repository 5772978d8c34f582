package dashboards

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/alerting"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
)

// Files is everything that Grafana loads and Go writes: the path below this
// directory, and its content. The same source gives the same bytes.
func Files() (map[string][]byte, error) {
	rooms, err := Rooms()
	if err != nil {
		return nil, fmt.Errorf("build dashboard %s: %w", RoomsUID, err)
	}
	alertRules, err := rules()
	if err != nil {
		return nil, fmt.Errorf("build alert rules: %w", err)
	}
	files := map[string][]byte{}
	for path, content := range map[string]any{
		"generated/rooms.json":                      rooms,
		"provisioning/alerting/rules.json":          ruleFile(alertRules),
		"provisioning/alerting/contact-points.json": contactPointFile(),
		"provisioning/alerting/policies.json":       policyFile(),
	} {
		files[path], err = encode(content)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", path, err)
		}
	}
	return files, nil
}

// encode sorts the keys, as Grafana's own exports do, and leaves < and > in SQL
// readable. It takes the long way round because the SDK's types encode
// themselves, and escape them.
func encode(content any) ([]byte, error) {
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // digits stay as they were written
	var plain any
	if err := decoder.Decode(&plain); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(plain)
	return out.Bytes(), err
}

// object is a level of a provisioning file whose keys never vary.
type object map[string]any

func ruleFile(rules []rule) object {
	return object{
		"apiVersion": 1,
		"groups": []object{{
			"orgId":    1,
			"name":     "roomtrail",
			"folder":   alertFolder,
			"interval": alertInterval,
			"rules":    rules,
		}},
	}
}

// contactPointFile sends to one web address, which Grafana takes from its
// environment: it usually holds a token and belongs in no file.
func contactPointFile() object {
	return object{
		"apiVersion": 1,
		"contactPoints": []object{{
			"orgId": 1,
			"name":  alertReceiver,
			"receivers": []object{{
				"uid":  alertReceiver,
				"type": alerting.ContactPointTypeWebhook,
				"settings": object{
					"url":        "$ROOMTRAIL_ALERT_WEBHOOK_URL",
					"httpMethod": "POST",
				},
			}},
		}},
	}
}

// policyFile replaces Grafana's whole tree of notification policies: there is
// one tree for an organisation, and a provisioned one is not merged.
func policyFile() object {
	policy := func(wait, repeat string) alerting.NotificationPolicy {
		return alerting.NotificationPolicy{
			Receiver:       cog.ToPtr(alertReceiver),
			GroupBy:        []string{"grafana_folder", "alertname"},
			GroupWait:      &wait,
			GroupInterval:  cog.ToPtr("5m"),
			RepeatInterval: &repeat,
		}
	}
	page := policy("10s", "1h")
	page.ObjectMatchers = &alerting.ObjectMatchers{{"severity", "=", "page"}}
	root := policy("30s", "4h")
	root.Routes = []alerting.NotificationPolicy{page}
	return object{
		"apiVersion": 1,
		"policies": []any{struct {
			OrgID int `json:"orgId"`
			alerting.NotificationPolicy
		}{1, root}},
	}
}
