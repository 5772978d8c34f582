package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"roomtrail/commandline"
	"roomtrail/embedded"
	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/pipeline"
)

// partitions shows the generations of the log, or opens another. The number is
// said by a command and not by a setting of the intakes: one that restarts with
// an old setting must not change it back.
type partitions struct {
	Number      int    `arg:"" optional:"" name:"n" help:"How many the log is to have from now on; without it the log is shown."`
	NATSURL     string `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"NATS server with the log. Without it that of the stack under --data-dir, running or not."`
	DataDir     string `env:"ROOMTRAIL_DATA_DIR" default:".roomtrail" placeholder:"DIR" help:"Where the embedded servers keep their data (default ${default})."`
	LogMaxBytes int64  `env:"ROOMTRAIL_LOG_MAX_BYTES" placeholder:"N" help:"Size at which a partition refuses events (default 10 GiB); of a running stack its own setting counts."`
	LogReplicas int    `env:"ROOMTRAIL_LOG_REPLICAS" placeholder:"N" help:"Copies of each partition in a NATS cluster (default 1)."`
}

func (p *partitions) Run(t *terminal) error {
	if p.Number < 0 || p.Number > events.Buckets {
		return &commandline.UsageError{Err: fmt.Errorf("%d partitions; want 1 to %d", p.Number, events.Buckets)}
	}
	info, err := p.ask(t)
	if err != nil {
		return err
	}
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	w.AppendHeader(table.Row{"generation", "partition", "events", "last", "size", "state"})
	for _, i := range info {
		state := "takes events"
		if i.IsRetired {
			state = "retired"
		}
		w.AppendRow(table.Row{i.Generation, i.Partition, i.Messages, i.Last, size(int64(i.Bytes)), state})
	}
	fmt.Fprintln(t.stdout, w.Render())
	return nil
}

// ask chooses as an import does: a running stack through its door, since its
// log has no port, else the log itself.
func (p *partitions) ask(t *terminal) (info []eventlog.PartitionInfo, err error) {
	if p.NATSURL == "" {
		running, err := embedded.Find(p.DataDir)
		switch {
		case err == nil && running.IntakeURL != "" && running.ImportKey != "":
			return p.askDoor(t.ctx, running)
		case err == nil:
			return nil, fmt.Errorf("process %d runs the stack in %s without an intake, through which its log is reached; stop it, or set NATS_URL", running.PID, p.DataDir)
		case !errors.Is(err, embedded.ErrNotRunning):
			return nil, err
		}
	}
	log, err := pipeline.Start(t.ctx, pipeline.Config{
		NATSURL: p.NATSURL, DataDir: p.DataDir, Partitions: p.Number, MaxBytes: p.LogMaxBytes, Replicas: p.LogReplicas, Logger: t.logger(),
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), 20*time.Second)
		defer cancel()
		err = errors.Join(err, log.Stop(stopping))
	}()
	if p.Number > 0 {
		if err := log.Repartition(t.ctx, p.Number); err != nil {
			return nil, err
		}
	}
	return log.Log().Info(t.ctx)
}

func (p *partitions) askDoor(ctx context.Context, running embedded.Endpoint) (info []eventlog.PartitionInfo, err error) {
	url := running.IntakeURL + pipeline.PartitionsPath
	if p.Number == 0 {
		return info, askOwnersDoor(ctx, http.MethodGet, url, running.ImportKey, nil, &info)
	}
	return info, askOwnersDoor(ctx, http.MethodPost, url, running.ImportKey, p.Number, &info)
}
