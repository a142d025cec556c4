# Hashes, patterns, splitting, joining and sorting; prints a checksum. Argument: how many rounds.
use strict;
use warnings;

sub work {
    my ($seed) = @_;
    my (%count, %index, @lines);
    for my $i (1 .. 12000) {
        my $line = join ' ', map { ($i * $_ + $seed) % 1009 } 1 .. 6;
        $line =~ s/(\d)(\d)/$2-$1/g;
        $count{$_}++ for split / /, $line;
        $lines[$i % 3000] = $line x ($i % 5);
        push @{$index{length $line}}, [$i, $line];
    }
    my $sum = 0;
    $sum = ($sum * 31 + $count{$_} + length) % 1000000007 for sort keys %count;
    for my $key (sort { $a <=> $b } keys %index) {
        my @sorted = sort { $a->[1] cmp $b->[1] || $a->[0] <=> $b->[0] } @{$index{$key}};
        $sum = ($sum * 31 + $_->[0]) % 1000000007 for @sorted;
    }
    return $sum + length join '', sort grep { defined } @lines;
}

my $checksum = 0;
$checksum = ($checksum * 31 + work($_)) % 1000000007 for 1 .. $ARGV[0];
print "$checksum\n";
