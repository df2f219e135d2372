"""How good generated videos are, by the paper's metrics (sections 5.1 and 7.2), for any folder of videos with sound.

video.py       one video, decoded         folder.py     what is to be scored, and against what
frechet.py  fvd.py  temporal.py  text.py  audio.py  sync.py  av_align.py      the metrics, each on one video
networks/      what the metrics look through           suite.py      which networks: the released ones, or tiny ones
run.py         every metric on every video, cached     table.py  page.py      what came out, beside the paper
"""
