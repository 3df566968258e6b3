// Command plot draws figures as SVG into a folder:
//
//	plot FOLDER < figures.json
//
// The figures come from `bench docs` (test/bench/page/figures.go). Both axes are logarithmic. A point that is only known to
// be more than its value is drawn as an arrow head that points up.
package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

type figure struct {
	File, Title, Y string
	Series         []series
}

type series struct {
	Name   string
	Points []point
}

type point struct {
	X, Y float64
	More bool
}

const width, height = 18 * vg.Centimeter, 11 * vg.Centimeter

// colors tell subjects apart for the color-blind, too (Okabe and Ito). A subject has the same one in every figure.
var colors = map[string]color.Color{
	"floor":               color.Gray{Y: 0x80},
	"fairlead-route":      color.RGBA{0x00, 0x72, 0xb2, 0xff},
	"fairlead-address":    color.RGBA{0x56, 0xb4, 0xe9, 0xff},
	"kube-proxy-ipvs":     color.RGBA{0xd5, 0x5e, 0x00, 0xff},
	"kube-proxy-nftables": color.RGBA{0x00, 0x9e, 0x73, 0xff},
	"kube-proxy-iptables": color.RGBA{0xcc, 0x79, 0xa7, 0xff},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: plot FOLDER < figures.json")
	}
	var figures []figure
	if err := json.NewDecoder(os.Stdin).Decode(&figures); err != nil {
		return fmt.Errorf("read the figures: %w", err)
	}
	for _, f := range figures {
		if err := f.draw(filepath.Join(args[0], filepath.Base(f.File))); err != nil {
			return fmt.Errorf("%s: %w", f.File, err)
		}
	}
	return nil
}

func (f figure) draw(file string) error {
	p := plot.New()
	p.BackgroundColor = color.White // dark themes show the page behind a transparent one
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.Title, "Services", f.Y
	p.Title.Padding = vg.Points(8)
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = decades{}, decades{}
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(6), vg.Points(-6)
	p.Legend.Padding = vg.Points(2)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{Y: 0xe0}, color.Gray{Y: 0xe0}
	p.Add(grid)
	drawn := 0
	for _, s := range f.Series {
		if len(s.Points) == 0 {
			continue
		}
		if err := s.add(p); err != nil {
			return err
		}
		drawn++
	}
	if drawn == 0 {
		return nil // nothing was measured, and an axis without a point has no scale
	}
	f.room(p)
	return p.Save(width, height, file)
}

// room widens the axes: Y to whole decades, with one more for the legend, and X not to the next one, whose label would
// be cut off at the edge.
func (f figure) room(p *plot.Plot) {
	p.X.Min, p.X.Max = floor10(p.X.Min), p.X.Max*1.6
	p.Y.Min, p.Y.Max = floor10(p.Y.Min), ceil10(p.Y.Max)*10
}

func floor10(v float64) float64 { return math.Pow(10, math.Floor(math.Log10(v))) }

func ceil10(v float64) float64 { return math.Pow(10, math.Floor(math.Log10(v))+1) }

// add draws a line with a mark at each point.
func (s series) add(p *plot.Plot) error {
	var xys plotter.XYs
	for _, pt := range s.Points {
		xys = append(xys, plotter.XY{X: pt.X, Y: pt.Y})
	}
	line, marks, err := plotter.NewLinePoints(xys)
	if err != nil {
		return err
	}
	paint := colors[s.Name]
	if paint == nil {
		paint = color.Black
	}
	line.Color, line.Width = paint, vg.Points(1.5)
	marks.GlyphStyleFunc = func(i int) draw.GlyphStyle {
		style := draw.GlyphStyle{Color: paint, Radius: vg.Points(3), Shape: draw.CircleGlyph{}}
		if s.Points[i].More {
			style.Radius, style.Shape = vg.Points(5), draw.PyramidGlyph{}
		}
		return style
	}
	p.Add(line, marks)
	p.Legend.Add(s.Name, line)
	return nil
}

// decades labels powers of ten in full, which is how people say how many Services there are.
type decades struct{}

func (decades) Ticks(least, most float64) (ticks []plot.Tick) {
	for _, t := range (plot.LogTicks{Prec: -1}).Ticks(least, most) {
		if t.Label != "" {
			t.Label = full(t.Value)
		}
		ticks = append(ticks, t)
	}
	return ticks
}

func full(v float64) string {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if v < 1 {
		return text
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
