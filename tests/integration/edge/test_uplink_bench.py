"""The benchmark of the uplink tells figures that hang together."""

from deploy.bench.uplink import run_uplink


def test_every_frame_of_the_benchmark_is_committed_and_the_rates_hang_together() -> None:
    result = run_uplink(frames=500, readings_per_frame=5)
    assert result.frames == 500
    rates = (
        result.sender_msg_per_s,
        result.committed_per_s_acks_once_a_second,
        result.outbox_frames_per_s,
        result.outbox_to_committed_per_s,
    )
    assert min(rates) > 0
    assert result.committed_per_s_acks_once_a_second <= result.sender_msg_per_s * 2, "who commits was sent to before"
