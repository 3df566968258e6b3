package program

import (
	"fmt"
	"os"
	"path/filepath"
)

// CacheDir is the folder for everything that is kept between runs. It need not exist.
func CacheDir() (string, error) {
	dir := os.Getenv("FAIRLEAD_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("finding the cache folder: %w", err)
		}
		dir = filepath.Join(user, "fairlead")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	return dir, nil
}

// Folder is a folder that one process at a time fills.
type Folder struct {
	Path string
	Name string // of the folder, in errors
	Lock string // name of its lock, in errors
	Use  string // what a run does with it, as in "another run that prepares"
}
