package projections

import (
	"math"
	"slices"
)

// exactEdges are durations in milliseconds that lie on the edge of a bucket, so
// that what is below each of them is counted exactly (contract 5).
var exactEdges = []int64{1, 10_000, 90_000, 300_000, 1_200_000, 86_400_000}

// widest is the ratio of a bucket's edges: its geometric middle is less than 2 %
// from all that it holds.
const widest = 1.04

// HistogramEdges are the lower edges of the buckets: bucket n holds what is at
// least edge n and below edge n + 1, in milliseconds; the last one has no end.
var HistogramEdges = histogramEdges()

func histogramEdges() []int64 {
	edges := []int64{0}
	for i := 1; i < len(exactEdges); i++ {
		from, to := float64(exactEdges[i-1]), float64(exactEdges[i])
		n := int(math.Ceil(math.Log(to/from) / math.Log(widest)))
		for k := range n {
			edge := int64(math.Round(from * math.Pow(to/from, float64(k)/float64(n))))
			if edge > edges[len(edges)-1] { // below 25 ms each millisecond has its own
				edges = append(edges, edge)
			}
		}
	}
	return append(edges, exactEdges[len(exactEdges)-1])
}

// HistogramBucket is the bucket of a duration in milliseconds.
func HistogramBucket(ms int64) int16 {
	i, isEdge := slices.BinarySearch(HistogramEdges, max(ms, 0))
	if !isEdge {
		i--
	}
	return int16(i)
}

// HistogramMiddle is what a bucket's durations are told as: its geometric middle.
func HistogramMiddle(bucket int16) float64 {
	from := float64(HistogramEdges[bucket])
	if int(bucket) == len(HistogramEdges)-1 || from == 0 {
		return from
	}
	return math.Sqrt(from * float64(HistogramEdges[bucket+1]-1))
}
