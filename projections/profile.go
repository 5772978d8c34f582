package projections

import (
	"time"

	"roomtrail/events"
)

// Limits are the times that a platform's documents name, in milliseconds.
type Limits struct {
	HeartbeatTimeoutMS int64 // H: the server judges a silent user gone
	RetryWindowMS      int64 // W: the client gives up reconnecting
	LoginTimeoutMS     int64
	OnsetDelayMS       int64 // how late the SDK may say Reconnecting
	AliveEveryMS       int64
}

// Profile is a dated row of limits. Empty scope fields match everything.
type Profile struct {
	AppID     string
	Family    events.Family
	Platform  string
	ValidFrom time.Time
	Limits
}

// Profiles are the rows of the table profiles.
type Profiles []Profile

// At returns the limits of the most specific and newest profile that was
// valid then: an app's before everybody's, a platform's before its family's
// before all. It falls back to DefaultProfiles, whose rows match everything.
func (ps Profiles) At(app string, family events.Family, platform string, at time.Time) Limits {
	best, bestScore := -1, -1
	for i := range ps {
		p := &ps[i]
		if p.AppID != "" && p.AppID != app || p.Family != "" && p.Family != family ||
			p.Platform != "" && p.Platform != platform || p.ValidFrom.After(at) {
			continue
		}
		score := 0
		if p.AppID != "" {
			score += 4
		}
		if p.Platform != "" {
			score += 2
		}
		if p.Family != "" {
			score++
		}
		if score > bestScore || score == bestScore && p.ValidFrom.After(ps[best].ValidFrom) {
			best, bestScore = i, score
		}
	}
	if best < 0 {
		return DefaultProfiles.At(app, family, platform, at)
	}
	return ps[best].Limits
}

// DefaultProfiles are the documented values: H = 90 s everywhere, W = 5 min in
// the web family and 20 min in the native one; a first login is retried as
// long as a reconnect; the web SDK holds the first Reconnecting back for 8 s.
var DefaultProfiles = Profiles{
	{Family: events.Web, Limits: Limits{90_000, 300_000, 300_000, 8_000, 30_000}},
	{Family: events.Native, Limits: Limits{90_000, 1_200_000, 1_200_000, 0, 30_000}},
}
