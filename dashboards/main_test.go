package dashboards_test

import (
	"os"
	"testing"

	"roomtrail/readmodel/readmodeltest"
)

func TestMain(m *testing.M) { os.Exit(readmodeltest.Main(m)) }
