package page

import (
	"bytes"
	"flag"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var (
	update = flag.Bool("update", false, "take the pictures of docs/ anew, which takes two minutes")
	watch  = flag.Duration("watch", 125*time.Second, "with -update: how long the page watches before")
)

// largest is the size of a picture in the documents, in bytes.
const largest = 200_000

// prefers says what the person in front of the screen has asked for.
func prefers(name, value string) chromedp.Action[chromedp.Void] {
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: name, Value: value}}})
}

// dark asks for the dark colors, or for the light ones.
func dark(on bool) chromedp.Action[chromedp.Void] {
	if on {
		return prefers("prefers-color-scheme", "dark")
	}
	return prefers("prefers-color-scheme", "light")
}

// phone is a small screen that is touched.
func phone() chromedp.Action[chromedp.Void] {
	return chromedp.EmulateViewport(360, 740, chromedp.EmulateScale(2), chromedp.EmulateMobile, chromedp.EmulateTouch)
}

// TestThePictures has those that docs/status-page.md shows taken with -update, and looks at what they are otherwise.
func TestThePictures(t *testing.T) {
	for _, picture := range []struct {
		name, hash    string
		width, height int
		before        []chromedp.Action[chromedp.Void]
	}{
		{"status-page", "", 1280, 860, []chromedp.Action[chromedp.Void]{chromedp.EmulateViewport(1280, 860), dark(false)}},
		{"status-page-service", "#service=shop/checkout", 1280, 980, []chromedp.Action[chromedp.Void]{chromedp.EmulateViewport(1280, 980), dark(false)}},
		{"status-page-phone", "", 720, 1480, []chromedp.Action[chromedp.Void]{phone(), dark(true)}},
	} {
		t.Run(picture.name, func(t *testing.T) {
			file := "../../../docs/" + picture.name + ".png"
			if *update {
				t.Parallel()
				c := showcase()
				b := open(t, c, c, picture.hash, picture.before...)
				time.Sleep(*watch)
				eval[chromedp.Void](b, `document.activeElement.blur(); scrollTo(0, 0)`)
				if err := os.WriteFile(file, small(t, get(b, chromedp.CaptureScreenshot())), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			config, err := png.DecodeConfig(bytes.NewReader(data))
			if err != nil || config.Width != picture.width || config.Height != picture.height || len(data) > largest {
				t.Errorf("%s: %d x %d, %d bytes, %v", file, config.Width, config.Height, len(data), err)
			}
		})
	}
}

// small returns the same picture in fewer bytes: in the 256 colors that it has most of.
func small(t *testing.T, data []byte) []byte {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[color.RGBA]int)
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			all[rgba(picture.At(x, y))]++
		}
	}
	rare := func(c color.RGBA) color.RGBA { // edges of letters
		if all[c] > 300 {
			return c
		}
		return color.RGBA{c.R | 7, c.G | 7, c.B | 7, 255}
	}
	counts := make(map[color.RGBA]int)
	for c, n := range all {
		counts[rare(c)] += n
	}
	// Of what is colorful there is little, and it says much.
	weight := func(c color.RGBA) int { return counts[c] * (4 + int(max(c.R, c.G, c.B)) - int(min(c.R, c.G, c.B))) }
	most := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return weight(b) - weight(a) })
	palette := color.Palette{}
	for _, c := range most[:min(len(most), 256)] {
		palette = append(palette, c)
	}
	fewer, nearest := image.NewPaletted(picture.Bounds(), palette), make(map[color.RGBA]uint8)
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			c := rgba(picture.At(x, y))
			if _, known := nearest[c]; !known {
				nearest[c] = uint8(palette.Index(c))
			}
			fewer.SetColorIndex(x, y, nearest[c])
		}
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, fewer); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func rgba(c color.Color) color.RGBA { return color.RGBAModel.Convert(c).(color.RGBA) }
