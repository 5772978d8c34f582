package pipeline

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"roomtrail/events"
	"roomtrail/intake"
	"roomtrail/projections"
)

// metrics holds every metric name of the write side.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	events   *prometheus.CounterVec
	bytes    prometheus.Counter
	called   *prometheus.CounterVec
	cut      *prometheus.CounterVec
	facts    *prometheus.CounterVec
	failures *prometheus.CounterVec
	position *prometheus.GaugeVec
	lag      *prometheus.GaugeVec
	stored   *prometheus.GaugeVec
	room     *prometheus.GaugeVec
}

func newMetrics() *metrics {
	partition := []string{"generation", "partition"}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "roomtrail_intake_request_seconds", Help: "Time to answer a report, by status.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"status"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomtrail_intake_events_total", Help: "Events of reports, by verdict.",
		}, []string{"verdict"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "roomtrail_intake_bytes_total", Help: "Plain bytes of reports.",
		}),
		called: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomtrail_intake_callbacks_total", Help: "Server callbacks, by status and trust; unproven ones came under a signature that was used before.",
		}, []string{"status", "trust"}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomtrail_intake_connections_cut_total", Help: "Connections that were hung up on, by whose limit was reached: address or total.",
		}, []string{"why"}),
		facts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomtrail_projector_events_total", Help: "Events applied to the read model.",
		}, partition),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "roomtrail_projector_failures_total", Help: "Batches that were not applied and are tried again.",
		}, partition),
		position: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "roomtrail_projector_position", Help: "Stream sequence that has been applied.",
		}, partition),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "roomtrail_projector_lag_events", Help: "Events in the log that have not been applied.",
		}, partition),
		stored: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "roomtrail_log_bytes", Help: "Bytes that the log takes.",
		}, partition),
		room: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "roomtrail_log_max_bytes", Help: "Bytes that the log may take; 0 for a generation that takes no more events.",
		}, partition),
	}
	m.registry.MustRegister(m.requests, m.events, m.bytes, m.called, m.cut, m.facts, m.failures, m.position, m.lag, m.stored, m.room,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(r intake.Request) {
	m.requests.WithLabelValues(strconv.Itoa(r.Status)).Observe(r.Took.Seconds())
	m.events.WithLabelValues("accepted").Add(float64(r.Accepted))
	m.events.WithLabelValues("rejected").Add(float64(r.Rejected))
	m.bytes.Add(float64(r.Bytes))
}

func (m *metrics) calledBack(c intake.CallbackSeen) {
	m.called.WithLabelValues(strconv.Itoa(c.Status), string(c.Trust)).Inc()
}

func (m *metrics) hungUp(why string) { m.cut.WithLabelValues(why).Inc() }

func (m *metrics) applied(generation, partition int, o projections.Observation) {
	g, p := strconv.Itoa(generation), strconv.Itoa(partition)
	if o.Err != nil {
		m.failures.WithLabelValues(g, p).Inc()
		return
	}
	m.facts.WithLabelValues(g, p).Add(float64(o.Applied))
	m.position.WithLabelValues(g, p).Set(float64(o.Position))
	if o.LogLast >= o.Position {
		m.lag.WithLabelValues(g, p).Set(float64(o.LogLast - o.Position))
	}
}

// awaits tells how much waits in a partition whose turn has not come.
func (m *metrics) awaits(end events.Ref) {
	m.lag.WithLabelValues(strconv.Itoa(end.Generation), strconv.Itoa(end.Partition)).Set(float64(end.Seq))
}

// leave forgets how far a generation is that this process no longer applies.
func (m *metrics) leave(generation int) {
	of := prometheus.Labels{"generation": strconv.Itoa(generation)}
	m.position.DeletePartialMatch(of)
	m.lag.DeletePartialMatch(of)
}

// handler asks the log for its size when it is asked itself.
func (m *metrics) handler(p *Pipeline) http.Handler {
	inner := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if info, err := p.log.Info(ctx); err == nil {
			for _, i := range info {
				g, n := strconv.Itoa(i.Generation), strconv.Itoa(i.Partition)
				m.stored.WithLabelValues(g, n).Set(float64(i.Bytes))
				m.room.WithLabelValues(g, n).Set(float64(i.MaxBytes))
			}
		}
		inner.ServeHTTP(w, r)
	})
}
