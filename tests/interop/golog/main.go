// Checks a custody log with the transparency log packages of the Go project, which share no code with Wardgate:
// checkpoint signature, entry bundles, every tile, inclusion of every entry, consistency with an older checkpoint.
//
//	golog LOGDIR VKEYFILE [OLDCHECKPOINT]
package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func must(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

// c2spPath turns tile/8/L/x001/067 (the path of Go's checksum database) into tile/L/x001/067 (tlog-tiles).
func c2spPath(t tlog.Tile) string {
	return strings.Replace(t.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

func entriesPath(number int64, width int) string {
	t := tlog.Tile{H: height, L: 0, N: number, W: width}
	return strings.Replace(c2spPath(t), "tile/0/", "tile/entries/", 1)
}

type reader struct{ dir string }

func (r reader) Height() int { return height }

func (r reader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, t := range tiles {
		data, err := os.ReadFile(filepath.Join(r.dir, c2spPath(t)))
		if os.IsNotExist(err) && t.W < 1<<height {
			full := t
			full.W = 1 << height
			data, err = os.ReadFile(filepath.Join(r.dir, c2spPath(full)))
			if err == nil {
				data = data[:t.W*tlog.HashSize]
			}
		}
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (r reader) SaveTiles(tiles []tlog.Tile, data [][]byte) {}

func head(path string, verifiers note.Verifiers, origin string) tlog.Tree {
	text, err := os.ReadFile(path)
	must("checkpoint", err)
	opened, err := note.Open(text, verifiers)
	must("signature of "+path, err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 4 || lines[0] != origin {
		must("checkpoint", fmt.Errorf("origin is not %q", origin))
	}
	// Go's own tree notes have a fixed first line; size and hash stand in the same places.
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + lines[1] + "\n" + lines[2] + "\n"))
	must("checkpoint", err)
	return tree
}

// ecdsaVerifier is signature type 0x02 of signed-note, which the note package leaves to others: ECDSA over SHA-256 of the text, in
// ASN.1; the key ID is the head of SHA-256 over the key's PKIX form.
type ecdsaVerifier struct {
	name string
	hash uint32
	key  *ecdsa.PublicKey
}

func (v ecdsaVerifier) Name() string    { return v.name }
func (v ecdsaVerifier) KeyHash() uint32 { return v.hash }
func (v ecdsaVerifier) Verify(text, signature []byte) bool {
	digest := sha256.Sum256(text)
	return ecdsa.VerifyASN1(v.key, digest[:], signature)
}

func verifierOf(vkey string) note.Verifier {
	name, rest, _ := strings.Cut(vkey, "+")
	ident, encoded, _ := strings.Cut(rest, "+")
	data, err := base64.StdEncoding.DecodeString(encoded)
	must("key", err)
	if data[0] != 2 {
		verifier, err := note.NewVerifier(vkey)
		must("key", err)
		return verifier
	}
	key, err := x509.ParsePKIXPublicKey(data[1:])
	must("key", err)
	hash, err := strconv.ParseUint(ident, 16, 32)
	must("key", err)
	digest := sha256.Sum256(data[1:])
	if binary.BigEndian.Uint32(digest[:]) != uint32(hash) {
		must("key", fmt.Errorf("the key ID is not that of the key"))
	}
	return ecdsaVerifier{name, uint32(hash), key.(*ecdsa.PublicKey)}
}

func entries(dir string, size int64) [][]byte {
	var all [][]byte
	for number := int64(0); number*256 < size; number++ {
		width := 256
		if size-number*256 < 256 {
			width = int(size - number*256)
		}
		data, err := os.ReadFile(filepath.Join(dir, entriesPath(number, width)))
		must("entries", err)
		for i := 0; i < width; i++ {
			length := int(binary.BigEndian.Uint16(data))
			all = append(all, data[2:2+length])
			data = data[2+length:]
		}
		if len(data) != 0 {
			must("entries", fmt.Errorf("bundle %d has %d bytes left over", number, len(data)))
		}
	}
	return all
}

func main() {
	dir := os.Args[1]
	vkey, err := os.ReadFile(os.Args[2])
	must("key", err)
	verifier := verifierOf(strings.TrimSpace(string(vkey)))
	verifiers := note.VerifierList(verifier)
	tree := head(filepath.Join(dir, "checkpoint"), verifiers, verifier.Name())
	hashes := tlog.TileHashReader(tree, reader{dir})
	for _, t := range tlog.NewTiles(height, 0, tree.N) {
		if last := tree.N>>(height*uint(t.L)) - t.N<<height; last < 1<<height && int64(t.W) != last {
			continue // a partial tile of an earlier size
		}
		_, err := os.Stat(filepath.Join(dir, c2spPath(t)))
		must("tile", err)
	}
	included := 0
	for i, entry := range entries(dir, tree.N) {
		leaf := tlog.RecordHash(entry)
		stored, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		must("tile", err)
		if stored[0] != leaf {
			must("entry", fmt.Errorf("%d is not the one that its tile has", i))
		}
		proof, err := tlog.ProveRecord(tree.N, int64(i), hashes)
		must("inclusion", err)
		must("inclusion", tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), leaf))
		included++
	}
	if len(os.Args) > 3 {
		old := head(os.Args[3], verifiers, verifier.Name())
		proof, err := tlog.ProveTree(tree.N, old.N, hashes)
		must("consistency", err)
		must("consistency", tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash))
		fmt.Printf("consistent with %d\n", old.N)
	}
	fmt.Printf("included %d of %d\n", included, tree.N)
}
