// Package chart draws the figures of benchmarks and simulations as SVG, with gonum/plot: the same colours, fonts and sizes everywhere,
// and the same bytes for the same data.
package chart

import (
	"errors"
	"fmt"
	"image/color"
	"os"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Plot is a plot of gonum's that counts what was drawn into it.
type Plot struct {
	*plot.Plot
	lines, marks int
}

const (
	width  = 9 * vg.Inch
	height = 2.6 * vg.Inch // of each of the plots in a file
	margin = 0.1 * vg.Inch
)

// colours can be told apart by those who see no red or no green (Okabe and Ito).
var colours = []color.RGBA{{0xd5, 0x5e, 0x00, 0xff}, {0x00, 0x72, 0xb2, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff}, {0x33, 0x33, 0x33, 0xff}}

// New is an empty plot with a legend and a faint grid.
func New(title, x, y string) *Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding, p.X.Padding, p.Y.Padding = vg.Points(6), vg.Points(4), vg.Points(4)
	p.BackgroundColor = color.White
	for _, s := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font.Typeface, s.Font.Variant, s.Font.Size = "Liberation", "Sans", vg.Points(10)
	}
	p.Title.TextStyle.Font.Size = vg.Points(12)
	p.Legend.Top, p.Legend.YOffs, p.Legend.Padding = true, -vg.Points(2), vg.Points(2)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = color.Gray{0xe6}, color.Gray{0xe6}
	p.Add(grid)
	return &Plot{Plot: p}
}

// Log makes the y axis logarithmic.
func (p *Plot) Log(low, high float64) {
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Min, p.Y.Max = low, high
}

// LogX makes the x axis logarithmic.
func (p *Plot) LogX(low, high float64) {
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.X.Min, p.X.Max = low, high
}

// Line adds a line in the next colour; without points it is only in the legend.
func (p *Plot) Line(name string, xys plotter.XYs) error {
	l := &plotter.Line{XYs: xys, LineStyle: draw.LineStyle{Color: colours[p.lines%len(colours)], Width: vg.Points(1.2)}}
	if err := plotter.CheckFloats(flat(xys)...); err != nil && len(xys) > 0 {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	p.lines++
	if len(xys) > 0 {
		p.Add(l)
	}
	p.Legend.Add("  "+name+"  ", l) // room for fonts that are wider than the one that it was measured with
	return nil
}

// Estimate is a value at X with the half of its interval.
type Estimate struct{ X, Y, Half float64 }

// Estimates adds a line in the next colour, with a bar over the interval of each point.
func (p *Plot) Estimates(name string, list []Estimate) error {
	xys, halves := make(plotter.XYs, len(list)), make(plotter.YErrors, len(list))
	for i, e := range list {
		xys[i] = plotter.XY{X: e.X, Y: e.Y}
		halves[i].Low, halves[i].High = e.Half, e.Half
	}
	bars, err := plotter.NewYErrorBars(struct {
		plotter.XYs
		plotter.YErrors
	}{xys, halves})
	if err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	bars.Color, bars.Width = colours[p.lines%len(colours)], vg.Points(1)
	p.Add(bars)
	return p.Line(name, xys)
}

func flat(xys plotter.XYs) (all []float64) {
	for _, xy := range xys {
		all = append(all, xy.X, xy.Y)
	}
	return all
}

// Mark adds a vertical line with a text beside its upper end; each mark's text is a line lower than the last one's.
func (p *Plot) Mark(x float64, text string) {
	style := p.Legend.TextStyle
	style.Color, style.YAlign = colours[4], draw.YTop
	p.Add(&upright{x: x, text: text, row: p.marks, style: style})
	p.marks++
}

// upright is a vertical line through the whole plot.
type upright struct {
	x     float64
	text  string
	row   int
	style draw.TextStyle
}

// Plot implements plot.Plotter.
func (u *upright) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	at := x(u.x)
	line := draw.LineStyle{Color: u.style.Color, Width: vg.Points(1), Dashes: []vg.Length{vg.Points(4), vg.Points(3)}}
	c.StrokeLine2(line, at, c.Min.Y, at, c.Max.Y)
	lower := vg.Length(u.row+1) * u.style.Font.Size * 1.3
	c.FillText(u.style, vg.Point{X: at + vg.Points(4), Y: c.Max.Y - lower + u.style.Font.Size}, u.text)
}

// Save writes plots into one file, one above the other with their x axes aligned.
func Save(file string, plots ...*Plot) error {
	canvas := vgsvg.New(width, height*vg.Length(len(plots)))
	tiles := draw.Tiles{Rows: len(plots), Cols: 1, PadTop: margin, PadBottom: margin, PadLeft: margin, PadRight: 2 * margin, PadY: margin}
	rows := make([][]*plot.Plot, len(plots))
	for i, p := range plots {
		rows[i] = []*plot.Plot{p.Plot}
	}
	for i, row := range plot.Align(rows, tiles, draw.New(canvas)) {
		plots[i].Draw(row[0])
	}
	out, err := os.Create(file)
	if err == nil {
		_, err = canvas.WriteTo(out)
		err = errors.Join(err, out.Close())
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
