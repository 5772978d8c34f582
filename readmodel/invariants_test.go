package readmodel_test

func (w *world) invariants(r *run) []string { return nil }
