package eventlog

import "context"

// Begin does the first steps of Repartition and then stops, as a process does
// that is killed. It returns false where nothing was left to do.
func (l *Log) Begin(ctx context.Context, n, steps int) (bool, error) {
	streams, err := l.list(ctx)
	if err != nil {
		return false, err
	}
	if newest := newestOf(streams); newest.partitions != n {
		if steps == 0 {
			return true, nil
		}
		if err := l.create(ctx, newest.generation+1, 0, n, l.config.MaxBytes); err != nil {
			return false, err
		}
		steps--
	}
	for ; ; steps-- {
		if streams, err = l.list(ctx); err != nil {
			return false, err
		}
		todo, more := next(streams)
		if !more || steps == 0 {
			return more, nil
		}
		if err := l.do(ctx, todo, streams); err != nil {
			return false, err
		}
	}
}
