package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"roomtrail/intake"
)

// ready says whether the log and the database answer, and whether it is known
// that the log flushes before it acknowledges.
func (p *Pipeline) ready(ctx context.Context) intake.Readiness {
	r := intake.Readiness{Ready: true, Log: "ok"}
	info, err := p.log.Info(ctx)
	if err != nil {
		r.Ready, r.Log = false, err.Error()
	}
	for _, i := range info {
		r.Partitions = append(r.Partitions, intake.PartitionState{
			Generation: i.Generation, Partition: i.Partition, IsRetired: i.IsRetired,
			Messages: i.Messages, LastSeq: i.Last, Created: i.Created, Bytes: i.Bytes, MaxBytes: i.MaxBytes,
		})
		if i.MaxBytes > 0 && i.Bytes > uint64(i.MaxBytes)/100*85 {
			r.Log = fmt.Sprintf("partition %d/%d is more than 85 %% full", i.Generation, i.Partition)
		} else if i.MaxBytes > 0 && i.Bytes > uint64(i.MaxBytes)/100*70 && r.Log == "ok" {
			r.Log = fmt.Sprintf("partition %d/%d is more than 70 %% full", i.Generation, i.Partition)
		}
	}
	if p.model != nil {
		r.Database = "ok"
		if err := p.model.Ping(ctx); err != nil {
			r.Ready, r.Database = false, err.Error()
		}
	}
	r.Durability = p.durability(ctx)
	return r
}

// durability asks whether every acknowledgement follows a flush. On a real
// server only its monitoring port tells.
func (p *Pipeline) durability(ctx context.Context) string {
	switch {
	case p.nats != nil && p.config.Throwaway:
		return "off: acknowledged before the disk is flushed"
	case p.nats != nil:
		return "verified: every acknowledgement follows a flush"
	case p.config.NATSMonitorURL == "":
		return "unverified: set --nats-monitor-url to the server's monitoring port"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	always, err := syncsAlways(ctx, p.config.NATSMonitorURL)
	switch {
	case err != nil:
		return "unverified: " + err.Error()
	case !always:
		return "unsafe: the server flushes now and then; set sync_interval: always in its jetstream block"
	}
	return "verified: every acknowledgement follows a flush"
}

func syncsAlways(ctx context.Context, monitor string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, monitor+"/varz", nil)
	if err != nil {
		return false, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	var varz struct {
		JetStream struct {
			Config struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	if err := json.NewDecoder(res.Body).Decode(&varz); err != nil {
		return false, fmt.Errorf("read %s/varz: %w", monitor, err)
	}
	return varz.JetStream.Config.SyncAlways, nil
}
