# Draws what bench_popoto measured: gnuplot -c plots.gp FOLDER. Each plot whose data is there becomes an
# SVG and a PNG beside it.

folder = ARG1
there(name) = system(sprintf("test -s '%s/%s.dat' && echo 1", folder, name)) eq "1"
data(name) = sprintf("%s/%s.dat", folder, name)

ours = "#0b6e4f"
theirs = "#c8963e"
worse = "#9a9a9a"
ink = "#333333"
plain = "set border 3 lc rgb ink; set tics nomirror out textcolor rgb ink; \
    set grid y lc rgb '#dddddd' lt 1; set key textcolor rgb ink"

do for [ending in "svg png"] {
    if (ending eq "svg") {
        set terminal svg size 900,480 font "sans-serif,14" background "#ffffff"
    } else {
        set terminal pngcairo size 900,480 font "sans-serif,11" background "#ffffff"
    }
    @plain

    if (there("against_hiredis")) {
        set output sprintf("%s/against_hiredis.%s", folder, ending)
        set title "Work per second, compared with hiredis by hand (1: the same)" textcolor rgb ink
        set style fill solid
        set boxwidth 0.6
        set xtics rotate by -20 left noenhanced
        set yrange [0:*]
        set offsets 0.4, 0.4, 0.1, 0
        set key outside top center horizontal
        set rmargin 8
        plot data("against_hiredis") using 0:2:xtic(1) with boxes lc rgb ours title "libpopoto", \
             "" using 0:(0.06):(sprintf("%.2f", $2)) with labels textcolor rgb "#ffffff" notitle, \
             "" using ($0-0.35):3:(0.7):(0) with vectors nohead lw 2.5 lc rgb theirs title "goal", \
             1 with lines lc rgb ink dt 2 notitle
        reset
        @plain
    }

    if (there("against_popoto")) {
        set output sprintf("%s/against_popoto.%s", folder, ending)
        set title "How many times as fast as Popoto 1.10.1" textcolor rgb ink
        set style fill solid
        set boxwidth 0.6
        set xtics rotate by -20 left noenhanced
        set logscale y
        set yrange [1:*]
        set offsets 0.4, 0.4, 0, 0
        set key outside top center horizontal
        set rmargin 8
        plot data("against_popoto") using 0:2:xtic(1) with boxes lc rgb ours title "libpopoto", \
             "" using 0:(1.25):(sprintf("%.0f", $2)) with labels textcolor rgb "#ffffff" notitle, \
             "" using ($0-0.35):3:(0.7):(0) with vectors nohead lw 2.5 lc rgb theirs title "goal"
        reset
        @plain
    }

    if (there("growth_tenants")) {
        set output sprintf("%s/growth_tenants.%s", folder, ending)
        set title "Cost of one operation, by the number of tenants (100 records each)" \
            textcolor rgb ink
        set xlabel "tenants" textcolor rgb ink
        set ylabel "microseconds" textcolor rgb ink
        set logscale x
        set xrange [0.8:14000]
        set format x "%.0f"
        set yrange [0:*]
        set key outside top center maxrows 3
        plot data("growth_tenants") \
             using 1:2 with linespoints lw 2.5 pt 7 lc rgb ours title "query, 50 rows of any tenant", \
             "" using 1:6 with linespoints lw 1.5 pt 6 lc rgb ours title "query, one tenant again", \
             "" using 1:4 with linespoints lw 2.5 pt 5 dt 2 lc rgb ours title "create", \
             "" using 1:3 with linespoints lw 2.5 pt 7 lc rgb theirs title "query of any, hiredis by hand", \
             "" using 1:5 with linespoints lw 2.5 pt 5 dt 2 lc rgb theirs title "create, hiredis by hand"
        reset
        @plain
    }

    if (there("growth_planner")) {
        set output sprintf("%s/growth_planner.%s", folder, ending)
        set title "One query of 10 rows out of 1,000,000 records, no partition" textcolor rgb ink
        set style data histograms
        set bmargin 4
        set style histogram clustered gap 1.5
        set style fill solid
        set ylabel "microseconds (logarithmic)" textcolor rgb ink
        set logscale y
        set yrange [10:1e7]
        set format y "10^{%T}"
        set key outside top center horizontal
        plot data("growth_planner") using 2:xtic(1) lc rgb ours title "libpopoto", \
             "" using 3 lc rgb theirs title "the better fixed plan", \
             "" using 4 lc rgb worse title "the other one", \
             "" using ($0-0.27):2:(sprintf("%.0f", $2)) with labels offset 0,0.7 textcolor rgb ink notitle, \
             "" using ($0):3:(sprintf("%.0f", $3)) with labels offset 0,0.7 textcolor rgb ink notitle, \
             "" using ($0+0.27):4:(sprintf("%.0f", $4)) with labels offset 0,0.7 textcolor rgb ink notitle
        reset
        @plain
    }

    if (there("growth_confidence")) {
        set output sprintf("%s/growth_confidence.%s", folder, ending)
        set title "Reading one tenant's 100 confidence entries, by all tenants' entries" \
            textcolor rgb ink
        set xlabel "entries of all tenants" textcolor rgb ink
        set ylabel "microseconds (logarithmic)" textcolor rgb ink
        set logscale xy
        set xrange [80:1300000]
        set yrange [10:*]
        set format x "10^{%T}"
        set format y "10^{%T}"
        set key top left
        plot data("growth_confidence") \
             using 1:3 with linespoints lw 2.5 pt 5 lc rgb worse title "one hash, filtered by pattern", \
             "" using 1:2 with linespoints lw 2.5 pt 7 lc rgb ours title "partitioned by tenant"
        reset
    }
    unset output
}
