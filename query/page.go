package query

import (
	_ "embed"
	"html/template"
	"net/http"
	"time"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// pageData is what the page shows: the health of the last hour and the table of
// questions.
type pageData struct {
	Now       string
	Span      string
	Nothing   bool
	Platforms []string
	Figures   []figure
	Questions []Question
}

// figure is one line of the health table: a name and a value for each platform.
type figure struct {
	Name   string
	Values []string
}

func (h *handler) page(r *http.Request, w *response) error {
	health, _ := Find("health")
	request, err := health.Request(h.now(), nil)
	if err != nil {
		return err
	}
	result, err := request.Ask(r.Context(), h.source)
	if err != nil {
		return err
	}
	data := pageData{
		Now:       h.now().UTC().Format(time.DateTime),
		Span:      result.Range.Span(time.UTC),
		Nothing:   result.Nothing(),
		Questions: questions,
	}
	for i, column := range result.Columns {
		var values []string
		for _, row := range result.Rows {
			values = append(values, Cell(column, row[i], time.UTC))
		}
		if i == 0 {
			data.Platforms = values
			continue
		}
		data.Figures = append(data.Figures, figure{Heading(column), values})
	}
	w.contentType = "text/html; charset=utf-8"
	return pageTemplate.Execute(w, data)
}
