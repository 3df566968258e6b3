package main

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

const columns, cellWidth, cellHeight = 4, 9 * vg.Centimeter, 6 * vg.Centimeter

// sheet draws every panel over the recording into one PNG file. A panel that Grafana shows as a number or a table is drawn
// as it would have been over time.
func sheet(path string) error {
	b, err := readBoard()
	if err != nil {
		return err
	}
	run, err := openRun()
	if err != nil {
		return err
	}
	defer run.Close()
	var plots []*plot.Plot
	for _, p := range b.Panels {
		if p.Type != "row" {
			drawn, err := p.draw(run)
			if err != nil {
				return fmt.Errorf("%s: %w", p.Title, err)
			}
			plots = append(plots, drawn)
		}
	}
	rows := (len(plots) + columns - 1) / columns
	image := vgimg.New(columns*cellWidth, vg.Length(rows)*cellHeight)
	tiles := draw.Tiles{Rows: rows, Cols: columns, PadX: vg.Points(10), PadY: vg.Points(10), PadTop: vg.Points(5), PadBottom: vg.Points(5), PadLeft: vg.Points(5), PadRight: vg.Points(5)}
	canvas := draw.New(image)
	for i, p := range plots {
		p.Draw(tiles.At(canvas, i%columns, i/columns))
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := (vgimg.PngCanvas{Canvas: image}).WriteTo(file); err != nil {
		return err
	}
	return file.Close()
}

// draw draws one panel.
func (p *panel) draw(run *run) (*plot.Plot, error) {
	drawn := plot.New()
	drawn.BackgroundColor = color.White
	drawn.Title.Text = p.Title + " (" + p.Type + ")"
	drawn.Y.Label.Text = p.FieldConfig.Defaults.Unit
	drawn.Legend.Top, drawn.Legend.Left = true, true
	drawn.Legend.TextStyle = text.Style{Font: plot.DefaultFont, Handler: plot.DefaultTextHandler, Color: color.Black}
	drawn.Legend.TextStyle.Font.Size = vg.Points(6)
	drawn.X.Min, drawn.X.Max = 0, run.to.Sub(run.from).Seconds()
	drawn.Y.Min = 0
	n := 0
	for _, q := range p.Targets {
		shown, err := run.during(filled(q.Expr, rateInterval), run.from, run.to, time.Second)
		if err != nil {
			return nil, err
		}
		sort.Sort(shown)
		for _, s := range shown {
			if err := addLine(drawn, s, legend(q, s), n, run.from); err != nil {
				return nil, err
			}
			n++
		}
	}
	if n == 0 {
		drawn.Title.Text += ": EMPTY"
	}
	drawn.Y.Max *= 1.3 // room for the legend
	return drawn, nil
}

// addLine adds one series as line n.
func addLine(to *plot.Plot, s promql.Series, name string, n int, from time.Time) error {
	var xys plotter.XYs
	for _, f := range s.Floats {
		if !math.IsNaN(f.F) && !math.IsInf(f.F, 0) {
			xys = append(xys, plotter.XY{X: float64(f.T-from.UnixMilli()) / 1000, Y: f.F})
		}
	}
	if len(xys) == 0 {
		return nil
	}
	line, err := plotter.NewLine(xys)
	if err != nil {
		return err
	}
	line.Color = plotutil.Color(n)
	to.Add(line)
	to.Legend.Add(fmt.Sprintf("%s %.3g", name, xys[len(xys)-1].Y), line)
	return nil
}

// legend fills in labels as Grafana does.
func legend(q target, s promql.Series) string {
	if q.LegendFormat == "" {
		return strings.ReplaceAll(s.Metric.String(), `"`, "")
	}
	name := q.LegendFormat
	for label, value := range s.Metric.Map() {
		name = strings.ReplaceAll(name, "{{"+label+"}}", value)
	}
	return name
}
