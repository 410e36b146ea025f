package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// goSource returns the directory of the Go distribution's source code. The running
// program does not know it for certain: it may have been built elsewhere or with
// -trimpath. The go command does.
func goSource() (string, error) {
	root := os.Getenv("GOROOT")
	if root == "" {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return "", fmt.Errorf("go env GOROOT: %w", err)
		}
		if root = strings.TrimSpace(string(out)); root == "" {
			return "", errors.New("go env GOROOT says nothing")
		}
	}
	src := filepath.Join(root, "src")
	info, err := os.Stat(src)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory", src)
	}
	return src, nil
}
