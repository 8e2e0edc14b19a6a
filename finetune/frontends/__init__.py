"""Front ends inside the network: waveform to log-mel spectrogram."""
