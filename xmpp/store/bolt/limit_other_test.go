//go:build !unix

package bolt_test

func limitFileSize(int64) (lift func(), ok bool) { return nil, false }
